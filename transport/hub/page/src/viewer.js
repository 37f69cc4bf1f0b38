// What a viewer does: signs in, keeps the ownership records that verify, follows
// the time line, and takes only what verifies for its own owner. What the hub
// answers with instead is withheld with its reason; what it leaves out is asked
// for by name and then said to be missing. It shows nothing itself: the pages
// under ui do, from what is here.

import { APIError } from "./api.js";
import { Asker } from "./asker.js";
import { Audit } from "./audit.js";
import { BodyError, parseCheckpoint, parseEvent, parseGap } from "./bodies.js";
import { concat } from "./bytes.js";
import { CHECKPOINT, checkPolicy, EVENT, GAP, parseEnvelope, verifyEnvelope } from "./item.js";
import { Home } from "./home.js";
import { Inspector } from "./inspector.js";
import { backoff, Jobs, sleep } from "./jobs.js";
import { endNotices, missingNotices } from "./missing.js";
import { Opener, TRIES } from "./opener.js";
import { Refusal, refuse } from "./reasons.js";
import { Records } from "./records.js";
import { Seen } from "./seen.js";
import { Timeline } from "./timeline.js";
import { TIMING } from "./timing.js";
import { MISROUTED, Withheld } from "./withheld.js";

const ROWS = 200;
const REPORT_TRIES = 4;
const WORKERS = 4;

/** The urgency of work. That of pictures lies between: when they were taken, in milliseconds. */
const URGENCY = { row: 3e15, chain: 2e15, eventRecord: 2, missing: 1, report: 0 };

export class Viewer extends EventTarget {
  /** "starting", "no-camera", "catching-up", "live" or "offline". */
  state = "starting";
  /** Why, where state is "offline" or "no-camera". */
  trouble = null;
  hub = null;
  /** The hub's word on each device: {online, seen}. */
  presence = new Map();
  timeline = new Timeline();
  withheld = new Withheld();
  /** What was wrong with ownership records: {reason, detail}. */
  recordTrouble = [];

  #keys;
  #api;
  #timing;
  #audit = new Audit();
  #seen;
  #inspector;
  #rowsAsked = new Set();
  #checkpoints = new Map();
  #asker = null;
  #opener = null;
  #cursor = 0;
  #jobs;
  #signal;
  #recordsAt = -Infinity;
  #recordsBusy = null;
  #missingDirty = false;
  #isExpecting = false;
  #hurry = new AbortController();
  #gapsToRead = 0;

  /**
   * @param {object} options
   * @param {import("./keys.js").Keys} options.keys
   * @param {import("./api.js").Client} options.api
   * @param {Storage|null} options.storage where the pins are kept
   * @param {() => number} [options.now] the time, in milliseconds since 1970
   */
  constructor({ keys, api, storage, timing = TIMING, now = Date.now }) {
    super();
    this.#keys = keys;
    this.#api = api;
    this.#timing = timing;
    this.records = new Records(keys.owner, storage);
    this.home = new Home({ keys, api });
    this.#seen = new Seen(keys.owner, storage);
    this.#inspector = new Inspector({
      audit: this.#audit, seen: this.#seen, records: this.records, timing, now,
      ask: (place, ms) => this.#asker.askOnce(place, ms),
      again: (what, ms) => this.#jobs.add(`again ${what}`, URGENCY.missing, () => this.#again(what), ms),
      found: (finding) => this.#changed("finding", finding),
    });
  }

  /** What the hub was caught at. @returns {import("./findings.js").Findings} */
  get findings() {
    return this.#inspector.findings;
  }

  get owner() {
    return this.#keys.owner;
  }

  /** Follows the hub until signal ends it. */
  async run(signal) {
    this.#signal = signal;
    this.#jobs = new Jobs({ workers: WORKERS, signal });
    this.#opener = new Opener({
      api: this.#api, identities: this.#keys.identities, jobs: this.#jobs, retry: this.#timing.retry, signal,
      check: (header) => this.#checkPolicy(header),
      withhold: (refusal, item, asked) => this.#withhold("item", refusal, item, asked),
      trouble: (err) => this.#afterTrouble(err),
      denied: (stub) => this.#inspector.listedOnly(stub.header),
    });
    this.#asker = new Asker({
      audit: this.#audit, jobs: this.#jobs, opener: this.#opener, urgency: URGENCY.missing, timing: this.#timing,
      accept: (item) => this.#accept(item, 0),
      withhold: (refusal, item, asked) => this.#withhold("item", refusal, item, asked),
      trouble: (err) => this.#afterTrouble(err),
      changed: (isGiven) => (isGiven ? this.#askForMissing() : this.#changed("missing")),
    });
    await this.#inspector.begin();
    try {
      await Promise.all([this.#follow(), this.#watchDevices()]);
    } catch (err) {
      if (!signal.aborted) throw err;
    }
  }

  /** Takes what another member has seen: the hub is held to it. @param {object[]} items as parseHeads gives them */
  hearMember(items) {
    this.#inspector.hearMember(items, (header) => this.#failsPolicy(header));
    this.#missingDirty = true;
  }

  /** The heads that this viewer has seen. @returns {import("./seen.js").Head[]} */
  get heads() {
    return this.#seen.heads;
  }

  /** How many different items verified, and how many of them were opened. */
  get counts() {
    return { verified: this.timeline.stubs.size, opened: this.#opener?.opened ?? 0 };
  }

  #changed(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #become(state, trouble = null) {
    if (this.state === state && this.trouble?.message === trouble?.message) return;
    this.state = state;
    this.trouble = trouble;
    this.#changed("state");
  }

  async #follow() {
    for (let failures = 0; ; ) {
      try {
        if (failures > 0 || this.hub === null) await this.#greet();
        await this.#readRows();
        failures = 0;
      } catch (err) {
        this.#signal.throwIfAborted();
        if (!(err instanceof APIError)) throw err;
        const stranger = err.status === 403;
        this.#become(stranger ? "no-camera" : "offline", err);
        await this.#pause(backoff(failures++, stranger ? this.#strangerTiming() : this.#timing.outage));
      }
    }
  }

  #strangerTiming() {
    return this.#isExpecting ? this.#timing.expected : this.#timing.stranger;
  }

  /** Sleeps, but not past a hurry. */
  async #pause(ms) {
    const hurry = this.#hurry.signal;
    try {
      await sleep(ms, AbortSignal.any([this.#signal, hurry]));
    } catch (err) {
      if (!hurry.aborted || this.#signal.aborted) throw err;
    }
  }

  /**
   * Says whether a camera is being added: the hub is then asked more often whether it
   * knows one.
   */
  set isExpecting(is) {
    if (this.#isExpecting === is) return;
    this.#isExpecting = is;
    this.#hurry.abort();
    this.#hurry = new AbortController();
  }

  /** Takes an ownership that came by another way than the hub's list. */
  async takeOwnership(bytes) {
    for (const trouble of await this.records.takeAll([bytes])) this.recordTrouble.push(trouble);
    this.#changed("cameras");
  }

  async #greet() {
    const hub = await this.#api.hub(this.#signal);
    if (this.hub !== null && this.hub.id !== hub.id) {
      this.#readAnew(); // another hub stands there: its time line is another one too
    }
    this.hub = hub;
    this.#inspector.retention = hub.retention;
    this.#changed("hub");
    await this.#refreshRecords();
    if (this.state !== "live") this.#become("catching-up");
  }

  async #readRows() {
    const wait = this.state === "live" ? this.#timing.wait : 0;
    const { rows, next } = await this.#api.timeline({ after: this.#cursor, limit: ROWS, wait, signal: this.#signal });
    if (rows.length === 0 && next < this.#cursor) return this.#readAnew(); // the hub lost its store
    if (next < this.#cursor || (rows.length > 0 && next === this.#cursor)) {
      throw new APIError(200, "the hub's time line does not go forward");
    }
    this.#cursor = next;
    const checked = await Promise.all(rows.map(checkRow));
    for (const [i, { cursor }] of rows.entries()) if (await this.#judgeRow(cursor, checked[i])) this.#askForRow(cursor);
    if (rows.length < ROWS) {
      this.#become("live");
      this.#askForMissing();
      this.#examine();
    }
    if (Date.now() - this.#recordsAt > this.#timing.records) await this.#refreshRecords();
  }

  async #watchDevices() {
    for (;;) {
      try {
        if (this.state === "live" || this.state === "catching-up") {
          const devices = await this.#api.devices(this.#signal);
          this.presence = new Map(devices.map(({ id, ...word }) => [id, word]));
          if (this.state === "live") this.#inspector.heardDevices(this.presence);
          this.#changed("cameras");
        }
      } catch (err) {
        this.#signal.throwIfAborted();
        if (!(err instanceof APIError)) throw err;
      }
      await sleep(this.state === "live" ? this.#timing.devices : Math.min(500, this.#timing.devices), this.#signal);
    }
  }

  async #refreshRecords() {
    this.#recordsBusy ??= this.#fetchRecords().finally(() => { this.#recordsBusy = null; });
    await this.#recordsBusy;
  }

  async #fetchRecords() {
    const asked = Date.now();
    const raw = await this.#api.records(this.#signal);
    this.#recordsAt = Date.now();
    this.recordTrouble = await this.records.takeAll(raw, { byHub: true });
    this.#inspector.heardRecords(asked, (header) => this.#failsPolicy(header), this.recordTrouble);
    const heard = await this.home.refresh(this.#seen.household, this.#signal);
    if (heard !== null) this.#inspector.heardHousehold(heard.newest, heard.fork);
    if (heard !== null && this.home.hasMoved) this.#changed("keys");
    this.#changed("cameras");
  }

  /** The reason for which a header fails the policy as the records are now, or "". */
  #failsPolicy(header) {
    try {
      checkPolicy(this.records.policy, header);
      return "";
    } catch (err) {
      return err.reason;
    }
  }

  /** Does again what the inspector wants to see twice. */
  async #again(what) {
    try {
      if (what === "records") await this.#refreshRecords();
    } catch (err) {
      return this.#afterTrouble(err);
    }
    this.#examine();
    return null;
  }

  /** Looks for findings, where nothing is left to be read first. */
  #examine() {
    if (this.state === "live" && this.#rowsAsked.size === 0 && this.#gapsToRead === 0) this.#inspector.examine();
  }

  /** Begins the time line from its beginning: what was taken stays, its rows are other ones. */
  #readAnew() {
    this.#cursor = 0;
    for (const stub of this.timeline.stubs.values()) stub.row = 0;
  }

  #askForRow(cursor) {
    let tries = 0;
    this.#rowsAsked.add(cursor);
    const over = () => {
      this.#rowsAsked.delete(cursor);
      this.#examine();
      return null;
    };
    this.#jobs.add(`row ${cursor}`, URGENCY.row, async () => {
      try {
        const { rows } = await this.#api.timeline({ after: cursor - 1, limit: 1, signal: this.#signal });
        if (rows[0]?.cursor !== cursor) return over();
        if (!(await this.#judgeRow(cursor, await checkRow(rows[0])))) return over();
      } catch (err) {
        return this.#afterTrouble(err) ?? over();
      }
      return ++tries < TRIES ? backoff(tries, this.#timing.retry) : over();
    }, backoff(0, this.#timing.retry));
  }

  /** Takes a row that was checked, or withholds it; says whether it should be asked for again. */
  async #judgeRow(cursor, { item, refusal }) {
    try {
      if (refusal) throw refusal;
      await this.#checkPolicy(item.header);
      const known = this.timeline.stubs.get(item.ref);
      if (known?.hash === item.hash) return this.#judgeKnown(cursor, known, item);
      this.#accept(item, cursor);
      return false;
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
      this.#withhold("timeline", err, item);
      return err.reason !== "fork" && err.reason !== "broken-chain";
    }
  }

  /** An item that is here already: it came by name, or one of its two rows is swapped. */
  #judgeKnown(cursor, known, item) {
    if (known.row !== cursor && known.row !== 0) {
      this.#withhold("timeline", refuse("replayed", `item ${known.header.seq} was already taken`), item);
      this.#askForRow(known.row);
      known.row = 0; // whichever of the two rows has it the next time is its own
      return true;
    }
    known.row = cursor;
    return false;
  }

  /** The policy; a camera or record that is not known may be newer than our records. */
  async #checkPolicy(header) {
    try {
      checkPolicy(this.records.policy, header);
    } catch (err) {
      const mine = err.reason !== "wrong-owner";
      if (!mine || Date.now() - this.#recordsAt < this.#timing.recordsAtMost) throw err;
      await this.#refreshRecords();
      checkPolicy(this.records.policy, header);
    }
  }

  #accept(item, row) {
    const { deviceKey: _, ...header } = item.header;
    if (!this.#audit.has(header)) this.#inspector.fits(header, item.hash);
    this.#audit.add(header, item.hash);
    this.#inspector.took(header, item.hash, item.envelope, { isGap: header.kind === GAP });
    const stub = { header, ref: item.ref, hash: item.hash, row };
    const event = this.timeline.take(stub);
    this.#asker.came(item.ref);
    this.#missingDirty = true;
    // The camera is there: what is missing may have come.
    if (header.kind === CHECKPOINT) this.#asker.again();
    if (header.kind === CHECKPOINT || header.kind === GAP) this.#read(stub);
    this.#changed("item", { stub, event });
  }

  /** Opens and reads what the camera says about itself. Events are read when they are looked at. */
  #read(stub) {
    const { device, epoch, chain, seq, kind } = stub.header;
    const name = `${device}/${epoch}/${chain}`;
    if (kind === CHECKPOINT && seq > (this.#checkpoints.get(name)?.header.seq ?? 0)) this.#checkpoints.set(name, stub);
    const isStale = () => kind === CHECKPOINT && this.#checkpoints.get(name) !== stub;
    if (kind === CHECKPOINT && this.state === "catching-up") {
      // Of many old checkpoints only a chain's newest says something: look again when all rows are in.
      this.#jobs.add(`checkpoint ${name}`, URGENCY.chain, async () => {
        if (this.state === "catching-up") return 200;
        this.#readNow(this.#checkpoints.get(name), () => false);
        return null;
      }, 100);
      return;
    }
    this.#readNow(stub, isStale);
  }

  async #readNow(stub, isStale) {
    const { header } = stub;
    if (header.kind === GAP) this.#gapsToRead++;
    try {
      const { bytes, item } = await this.open(stub, { urgency: header.kind === EVENT ? URGENCY.eventRecord : URGENCY.chain, isStale });
      if (header.kind === GAP) this.#heardGap(header, bytes);
      if (header.kind === EVENT) this.timeline.events.get(`${header.device}/${header.event}`).says = parseEvent(bytes);
      if (header.kind === CHECKPOINT) this.#heardCheckpoint(stub, bytes, item);
      this.#changed("item", { stub, event: this.timeline.events.get(`${header.device}/${header.event}`) ?? null });
    } catch (err) {
      if (this.#signal.aborted) return;
      if (err instanceof BodyError) this.#withhold("item", refuse("malformed", err.message), stub);
      else if (err instanceof Refusal && err.reason === "broken-chain") this.#withhold("item", err, stub);
    } finally {
      if (header.kind === GAP) this.#gapsToRead--;
    }
    this.#missingDirty = true;
    this.#askForMissing();
    this.#examine();
  }

  #heardGap(header, bytes) {
    const gap = parseGap(bytes);
    this.#inspector.explained(header);
    this.#audit.explain(header, gap);
    if (gap.dropped.some(({ reason }) => reason === "ownership")) this.timeline.takeEnd(header);
  }

  #heardCheckpoint(stub, bytes, item) {
    const says = parseCheckpoint(bytes);
    this.#inspector.heardCheckpoint(stub.header, says, concat(item.envelope, item.body));
    const camera = this.timeline.cameras.get(stub.header.device);
    if (camera.checkpoint === stub) camera.says = says;
  }

  /** Opens an item that was taken: see Opener.open. */
  open(stub, options) {
    return this.#opener.open(stub, options);
  }

  /** Reads what the camera says of an event, once. */
  describe(event) {
    if (event.record === null || event.isDescribed) return;
    event.isDescribed = true;
    this.#readNow(event.record, () => false);
  }

  /** How long to wait after a request failed, null for good. */
  #afterTrouble(err) {
    if (this.#signal.aborted) return null;
    if (err instanceof APIError) return backoff(this.state === "live" ? 0 : 3, this.#timing.outage);
    console.error(err); // a fault of ours: the others go on
    return null;
  }

  #withhold(from, refusal, item, asked = "") {
    const misrouted = item && "envelope" in item ? this.#failsPolicy(item.header) : "";
    const proof = item?.envelope?.slice() ?? null;
    const header = item?.header ?? null;
    const entry = this.withheld.add({ from, reason: refusal.reason, misrouted, detail: refusal.detail, header, proof, asked });
    if (MISROUTED.has(misrouted) && proof !== null) this.#report(entry, item.hash);
    this.#inspector.withheld(entry, item, asked);
    this.#changed("withheld", entry);
  }

  #report(entry, hash) {
    if (!this.withheld.claim(entry, hash)) return;
    entry.reported = "pending";
    let tries = 0;
    this.#jobs.add(`report ${hash}`, URGENCY.report, async () => {
      try {
        await this.#api.report(entry.proof, entry.misrouted, this.#signal);
        entry.reported = "yes";
      } catch (err) {
        if (this.#signal.aborted) return null;
        if (!(err instanceof APIError)) throw err;
        if (++tries < REPORT_TRIES) return backoff(tries, this.#timing.outage);
        entry.reported = "failed";
      }
      this.#changed("withheld", entry);
      return null;
    });
  }

  #askForMissing() {
    // What a gap item explains is not asked for.
    if (this.state !== "live" || !this.#missingDirty || this.#gapsToRead > 0) return;
    this.#missingDirty = false;
    this.#asker.askAll();
    this.#changed("missing");
  }

  /** What is not there, in the order of time: see missing.js. */
  notices() {
    const epochs = new Map(this.records.cameras.map(({ device, epoch }) => [device, epoch]));
    return [...missingNotices(this.#audit.missing(), this.timeline, (ref) => this.#asker?.triesFor(ref) ?? 0), ...endNotices(this.timeline, epochs)];
  }
}

/** Parses and verifies a row's envelope: {item, refusal}, where item is null unless it verified. */
async function checkRow({ envelope }) {
  try {
    if (envelope === null) throw refuse("malformed", "the row is no base64url");
    const item = await parseEnvelope(envelope);
    await verifyEnvelope(item);
    return { item, refusal: null };
  } catch (err) {
    if (err instanceof Refusal) return { item: null, refusal: err };
    throw err;
  }
}
