// The ownership records that this viewer knows, and the policy that follows
// from them. The newest (epoch, revision, hash) of each camera is pinned in the
// browser, so that nobody can put an older viewer or recipient list in its place.

import { parseOwnership, verifyOwnership } from "./ownership.js";
import { refuse, Refusal } from "./reasons.js";

const MAX_RECORDS_PER_CAMERA = 256;

export class Records {
  #owner;
  #storage;
  #key;
  #cameras = new Map();
  #isGiven = new Set();

  /** Whether the pins outlive the page. */
  pinned = true;

  /** @param {string} owner @param {Storage|null} storage where the pins are kept */
  constructor(owner, storage) {
    this.#owner = owner;
    this.#storage = storage;
    this.#key = `lensward.records.${owner}`;
    this.#load();
  }

  /** What items are held against. @returns {import("./item.js").Policy} */
  get policy() {
    const cameras = new Map();
    for (const [device, camera] of this.#cameras) cameras.set(device, camera.records);
    return { owner: this.#owner, cameras };
  }

  /** The paired cameras: {device, epoch, revision, hash, ownership|null}; null where only the pin is known. */
  get cameras() {
    return [...this.#cameras].map(([device, { epoch, revision, hash, ownership }]) => ({ device, epoch, revision, hash, ownership }));
  }

  /**
   * Takes the records that verify and are no roll-back.
   * @param {Uint8Array[]} raw
   * @param {{byHub?: boolean}} [options] whether they are all that the hub gives
   * @returns {Promise<{reason: string, detail: string, ownership?: object}[]>} what was refused, and why
   */
  async takeAll(raw, { byHub = false } = {}) {
    const refused = [];
    const good = [];
    for (const bytes of raw) {
      try {
        good.push(await this.#verify(bytes));
      } catch (err) {
        if (!(err instanceof Refusal)) throw err;
        refused.push({ reason: err.reason, detail: err.detail });
      }
    }
    good.sort((a, b) => a.record.epoch - b.record.epoch || a.record.revision - b.record.revision);
    for (const ownership of good) {
      const err = this.#take(ownership);
      if (err) refused.push({ reason: err.reason, detail: err.detail, ownership });
    }
    if (byHub) this.#noteGiven(good);
    this.#save();
    return refused;
  }

  /** Notes the newest record of each camera that the hub gave, and whether it still does. */
  #noteGiven(good) {
    this.#isGiven = new Set(good.map(({ hash }) => hash));
    for (const camera of this.#cameras.values()) {
      if (this.#isGiven.has(camera.hash)) camera.given = { epoch: camera.epoch, revision: camera.revision, hash: camera.hash };
    }
  }

  /** The newest record of each camera that the hub ever gave, and whether its last answer had it. */
  given() {
    return [...this.#cameras].filter(([, { given }]) => given).map(([device, { given }]) => ({ device, given, isGiven: this.#isGiven.has(given.hash) }));
  }

  async #verify(bytes) {
    const ownership = await parseOwnership(bytes);
    await verifyOwnership(ownership);
    if (ownership.record.owner !== this.#owner) throw refuse("wrong-owner", "an ownership record of another owner");
    return ownership;
  }

  #take(ownership) {
    const { device, epoch, revision } = ownership.record;
    const known = this.#cameras.get(device);
    if (known?.hash === ownership.hash) {
      known.ownership = ownership;
      return null;
    }
    if (known?.records.get(ownership.hash) === epoch) return null; // an older one that was taken in its time
    if (known && known.epoch === epoch && known.revision === revision) {
      return refuse("fork", `two ownership records of camera ${device.slice(0, 8)} with one revision`);
    }
    if (known && (epoch < known.epoch || (epoch === known.epoch && revision < known.revision))) {
      return refuse("roll-back", `an ownership record of camera ${device.slice(0, 8)} that is older than the known one`);
    }
    const records = known?.records ?? new Map();
    records.set(ownership.hash, epoch);
    while (records.size > MAX_RECORDS_PER_CAMERA) records.delete(records.keys().next().value);
    this.#cameras.set(device, { epoch, revision, hash: ownership.hash, records, ownership, given: known?.given ?? null });
    return null;
  }

  #load() {
    try {
      const { cameras } = JSON.parse(this.#storage.getItem(this.#key) ?? '{"cameras":[]}');
      for (const [device, epoch, revision, hash, records, given] of cameras) {
        this.#cameras.set(device, { epoch, revision, hash, records: new Map(records), ownership: null, given: given ?? null });
      }
    } catch {
      this.pinned = false;
    }
  }

  #save() {
    const cameras = [...this.#cameras].map(([device, c]) => [device, c.epoch, c.revision, c.hash, [...c.records], c.given]);
    try {
      this.#storage.setItem(this.#key, JSON.stringify({ cameras }));
      this.pinned = true;
    } catch {
      this.pinned = false;
    }
  }
}
