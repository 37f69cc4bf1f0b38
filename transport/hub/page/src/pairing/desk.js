// Where pairings of this browser are begun, gone on with after the page was
// loaded again, and ended: one at a time, in one tab at a time.

import { audienceOf } from "../keys.js";
import { forgetPairing, keepPairing, loadPairing } from "../keystore.js";
import { parseOwnership, signRelease } from "../ownership.js";
import { CODE_LIFE, isHostPort, makeCode } from "./code.js";
import { OwnerPairing } from "./owner.js";
import { PairingSession } from "./session.js";

const LOCK = "lensward-pairing";
/** How long a camera that was thrown away stays so, in milliseconds. */
const RELEASE_LIFE = 366 * 24 * 3600_000;
/** After this a camera has given up, in milliseconds from when the code expired. */
const PATIENCE = 20 * 60_000;

export class PairingDesk extends EventTarget {
  /** Whether another tab has the pairing. */
  isElsewhere = false;
  /** What became of a camera that is not the person's: "", "sending", "sent", or what went wrong. */
  thrown = "";

  #keys;
  #api;
  #viewer;
  #store;
  #timing;
  #signal = null;
  #session = null;
  #answer = "";
  #isEnded = false;
  #stop = null;

  /**
   * @param {object} options
   * @param {import("../keys.js").Keys} options.keys
   * @param {import("../api.js").Client} options.api
   * @param {import("../viewer.js").Viewer} options.viewer
   * @param {{load: Function, keep: Function, forget: Function}} [options.store]
   */
  constructor({ keys, api, viewer, store = { load: loadPairing, keep: keepPairing, forget: forgetPairing }, timing }) {
    super();
    Object.assign(this, { given: new GivenAway(keys.owner) });
    this.#keys = keys;
    this.#api = api;
    this.#viewer = viewer;
    this.#store = store;
    this.#timing = timing;
    viewer.addEventListener("cameras", () => this.#learn());
  }

  /** Whether these keys can make a camera theirs. */
  get canPair() {
    return this.#keys.rootKey !== null;
  }

  /** @returns {PairingSession|null} the pairing that is under way, or over and not looked at yet */
  get session() {
    return this.#session;
  }

  /** What the person said of the first picture: "", "mine" or "other". */
  get answer() {
    return this.#answer;
  }

  /** Holds the pairing for this tab until signal ends it, and goes on with what is kept. */
  async run(signal) {
    this.#signal = signal;
    const hold = async () => {
      this.isElsewhere = false;
      await this.#resume();
      this.#changed();
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    };
    const { locks } = globalThis.navigator ?? {};
    if (!locks) return hold();
    const { held } = await locks.query();
    this.isElsewhere = held.some(({ name }) => name === LOCK);
    this.#changed();
    try {
      await locks.request(LOCK, { signal }, hold);
    } catch (err) {
      if (!signal.aborted) throw err;
    }
  }

  async #resume() {
    const kept = await this.#store.load();
    if (kept === null || kept.memory.owner !== this.#keys.owner || !this.canPair) return;
    this.#answer = kept.answer;
    this.#start(new OwnerPairing(kept.memory, this.#ownerKeys(), (memory) => this.#keep(memory)));
    if (kept.memory.ownership) await this.#viewer.takeOwnership(kept.memory.ownership);
  }

  async #keep(memory) {
    await this.#store.keep({ memory, answer: this.#answer });
  }

  #ownerKeys() {
    const { owner, ownerKey, rootKey } = this.#keys;
    return { owner, ownerKey, rootKey, newest: (device) => this.#newest(device), audience: () => audienceOf(this.#keys, this.#viewer.home.newest) };
  }

  #newest(device) {
    const known = this.#viewer.records.cameras.find((camera) => camera.device === device);
    return known ? { epoch: known.epoch, hash: known.hash } : null;
  }

  /**
   * Makes a code and begins a pairing with it.
   * @param {{wifi: {ssid: Uint8Array, passphrase: string, hidden: boolean}|null}} options
   */
  async begin({ wifi }) {
    const { id, devices } = this.#viewer.hub;
    const addresses = devices.filter(isHostPort);
    const code = await makeCode({
      owner: this.#keys.owner, expires: Math.floor((Date.now() + CODE_LIFE) / 1000), hub: addresses.length > 0 ? { id, addresses } : null, wifi,
    });
    this.#answer = "";
    this.thrown = "";
    this.#start(await OwnerPairing.begin(code, this.#ownerKeys(), (memory) => this.#keep(memory)));
  }

  #start(pairing) {
    this.#stop?.abort();
    this.#stop = new AbortController();
    const session = new PairingSession({ pairing, api: this.#api, timing: this.#timing });
    this.#session = session;
    this.#isEnded = false;
    session.addEventListener("change", () => this.#moved(session));
    const signal = AbortSignal.any([this.#signal, this.#stop.signal]);
    session.run(signal).then(() => this.#ended(session), (err) => {
      console.error(err);
      session.trouble = `The pairing stopped because of a fault in this page: ${err.message}. Load it again.`;
      this.#changed();
    });
    this.#moved(session);
  }

  #moved(session) {
    if (session !== this.#session) return;
    const { phase, ownership } = session.memory;
    this.#viewer.isExpecting = (phase === "agreed" || phase === "done") && this.#answer === "";
    if (ownership && this.#newest(session.memory.device)?.hash !== session.memory.recordHash) this.#viewer.takeOwnership(ownership);
    this.#changed();
  }

  /** A pairing whose picture was judged is forgotten when it has nothing more to send. */
  async #ended(session) {
    if (session !== this.#session) return;
    this.#isEnded = true;
    if (this.#answer === "mine") await this.#store.forget();
  }

  #learn() {
    const { phase, recordHash } = this.#session?.memory ?? {};
    if (phase !== "agreed") return;
    const found = this.#viewer.records.cameras.find(({ hash, ownership }) => hash === recordHash && ownership !== null);
    if (found) this.#session.learn(found.ownership.bytes);
  }

  /** Whether the camera must have given up by now, so that nothing is lost by not waiting. */
  get isStale() {
    return this.#session !== null && Date.now() > this.#session.memory.expires * 1000 + PATIENCE;
  }

  /** The event with the first picture of the camera that was added, or null. */
  get firstPicture() {
    const { device, phase } = this.#session?.memory ?? {};
    if (phase !== "done") return null;
    const { epoch } = this.#viewer.records.cameras.find((camera) => camera.device === device) ?? {};
    for (const event of this.#viewer.timeline.events.values()) {
      if (event.device === device && event.thumbnail?.header.epoch === epoch) return event;
    }
    return null;
  }

  /** Takes the person's word on the first picture. */
  async say(answer) {
    this.#answer = answer;
    await this.#keep(this.#session.memory);
    this.#moved(this.#session);
    if (this.#isEnded) await this.#ended(this.#session);
  }

  /** Signs that the camera is nobody's, hides it here, and leaves that with the hub for it. */
  async throwAway() {
    const { ownership } = this.#session.memory;
    this.thrown = "sending";
    this.#changed();
    try {
      const own = await parseOwnership(ownership);
      this.given.add(own.record.device, own.record.epoch);
      await this.#api.leaveLetter(own.record.device, await signRelease(this.#keys.rootKey, own, Date.now() + RELEASE_LIFE), this.#signal);
      this.thrown = "sent";
    } catch (err) {
      this.thrown = err.message;
    }
    this.#changed();
  }

  /** Forgets the pairing: there is room for another. */
  async close() {
    this.#stop?.abort();
    this.#session = null;
    this.#viewer.isExpecting = false;
    await this.#store.forget();
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** The cameras that the person threw away, by device and epoch, kept in this browser. */
export class GivenAway {
  #key;
  #all = new Set();

  constructor(owner) {
    this.#key = `lensward.given.${owner}`;
    try {
      this.#all = new Set(JSON.parse(localStorage.getItem(this.#key) ?? "[]"));
    } catch {
      // Nothing kept, or nowhere to keep it.
    }
  }

  add(device, epoch) {
    this.#all.add(`${device}/${epoch}`);
    try {
      localStorage.setItem(this.#key, JSON.stringify([...this.#all].slice(-256)));
    } catch {
      // As above: it is hidden until the page is loaded again.
    }
  }

  has(device, epoch) {
    return this.#all.has(`${device}/${epoch}`);
  }
}
