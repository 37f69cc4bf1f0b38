// What a viewer does: signs in, keeps the ownership records that verify, follows
// the time line, and takes only what verifies for its own owner. What the hub
// answers with instead is withheld with its reason; what it leaves out is asked
// for by name and then said to be missing. It shows nothing itself: the pages
// under ui do, from what is here.

import { APIError } from "./api.js";
import { Audit } from "./audit.js";
import { BodyError, parseCheckpoint, parseEvent, parseGap } from "./bodies.js";
import { CHECKPOINT, checkPolicy, EVENT, GAP, parseEnvelope, verifyEnvelope } from "./item.js";
import { Heads } from "./heads.js";
import { backoff, Jobs, sleep } from "./jobs.js";
import { missingNotices } from "./missing.js";
import { Opener, TRIES } from "./opener.js";
import { Refusal, refuse } from "./reasons.js";
import { Records } from "./records.js";
import { Timeline } from "./timeline.js";
import { MISROUTED, Withheld } from "./withheld.js";

/** Times in milliseconds; tests shorten them. */
export const TIMING = {
  retry: { first: 250, most: 8_000 }, // another answer than the one asked for
  outage: { first: 1_000, most: 30_000 }, // no answer
  stranger: { first: 3_000, most: 30_000 }, // the hub does not know these keys
  missing: { first: 1_000, most: 60_000 }, // a place that the hub says is empty
  devices: 10_000,
  records: 60_000,
  recordsAtMost: 2_000, // how often a row may make us ask for records
  wait: 25, // seconds of a long poll
};

const ROWS = 200;
const MISSING_AT_ONCE = 100;
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
  #heads;
  #asked = new Map();
  #opener = null;
  #cursor = 0;
  #jobs;
  #signal;
  #recordsAt = -Infinity;
  #recordsBusy = null;
  #missingDirty = false;
  #gapsToRead = 0;

  /**
   * @param {object} options
   * @param {import("./keys.js").Keys} options.keys
   * @param {import("./api.js").Client} options.api
   * @param {Storage|null} options.storage where the pins are kept
   */
  constructor({ keys, api, storage, timing = TIMING }) {
    super();
    this.#keys = keys;
    this.#api = api;
    this.#timing = timing;
    this.records = new Records(keys.owner, storage);
    this.#heads = new Heads(keys.owner, storage);
    for (const head of this.#heads.known()) this.#audit.expect(head);
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
    });
    try {
      await Promise.all([this.#follow(), this.#watchDevices()]);
    } catch (err) {
      if (!signal.aborted) throw err;
    }
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
        await sleep(backoff(failures++, stranger ? this.#timing.stranger : this.#timing.outage), this.#signal);
      }
    }
  }

  async #greet() {
    const hub = await this.#api.hub(this.#signal);
    if (this.hub !== null && this.hub.id !== hub.id) {
      this.#readAnew(); // another hub stands there: its time line is another one too
    }
    this.hub = hub;
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
      this.#heads.save();
    }
    if (Date.now() - this.#recordsAt > this.#timing.records) await this.#refreshRecords();
  }

  async #watchDevices() {
    for (;;) {
      try {
        if (this.state === "live" || this.state === "catching-up") {
          const devices = await this.#api.devices(this.#signal);
          this.presence = new Map(devices.map(({ id, ...word }) => [id, word]));
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
    const raw = await this.#api.records(this.#signal);
    this.#recordsAt = Date.now();
    this.recordTrouble = await this.records.takeAll(raw);
    this.#changed("cameras");
  }

  /** Begins the time line from its beginning: what was taken stays, its rows are other ones. */
  #readAnew() {
    this.#cursor = 0;
    for (const stub of this.timeline.stubs.values()) stub.row = 0;
  }

  #askForRow(cursor) {
    let tries = 0;
    this.#jobs.add(`row ${cursor}`, URGENCY.row, async () => {
      try {
        const { rows } = await this.#api.timeline({ after: cursor - 1, limit: 1, signal: this.#signal });
        if (rows[0]?.cursor !== cursor) return null;
        if (!(await this.#judgeRow(cursor, await checkRow(rows[0])))) return null;
      } catch (err) {
        return this.#afterTrouble(err);
      }
      return ++tries < TRIES ? backoff(tries, this.#timing.retry) : null;
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
    this.#audit.add(header, item.hash);
    const stub = { header, ref: item.ref, hash: item.hash, row };
    const event = this.timeline.take(stub);
    this.#heads.note(header);
    this.#asked.delete(item.ref);
    this.#missingDirty = true;
    // The camera is there: what is missing may have come.
    if (header.kind === CHECKPOINT) for (const asked of this.#asked.values()) asked.round = 0;
    if (header.kind === CHECKPOINT || header.kind === GAP) this.#read(stub);
    this.#changed("item", { stub, event });
  }

  /** Opens and reads what the camera says about itself. Events are read when they are looked at. */
  #read(stub) {
    const { device, kind } = stub.header;
    const isStale = () => kind === CHECKPOINT && this.timeline.cameras.get(device).checkpoint !== stub;
    if (kind === CHECKPOINT && this.state === "catching-up") {
      // Of many old checkpoints only the newest says something: look again when all rows are in.
      this.#jobs.add(`checkpoint ${device}`, URGENCY.chain, async () => {
        if (this.state === "catching-up") return 200;
        this.#readNow(this.timeline.cameras.get(device).checkpoint, () => false);
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
      const { bytes } = await this.open(stub, { urgency: header.kind === EVENT ? URGENCY.eventRecord : URGENCY.chain, isStale });
      if (header.kind === GAP) this.#audit.explain(header, parseGap(bytes));
      if (header.kind === EVENT) this.timeline.events.get(`${header.device}/${header.event}`).says = parseEvent(bytes);
      if (header.kind === CHECKPOINT) this.timeline.cameras.get(header.device).says = parseCheckpoint(bytes);
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
    let misrouted = "";
    if (item && "envelope" in item) {
      try {
        checkPolicy(this.records.policy, item.header);
      } catch (err) {
        misrouted = err.reason;
      }
    }
    const proof = item?.envelope?.slice() ?? null;
    const header = item?.header ?? null;
    const entry = this.withheld.add({ from, reason: refusal.reason, misrouted, detail: refusal.detail, header, proof, asked });
    if (MISROUTED.has(misrouted) && proof !== null) this.#report(entry, item.hash);
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
    let budget = MISSING_AT_ONCE;
    for (const run of this.#audit.missing().reverse()) {
      if (run.dropped) continue;
      for (let seq = run.to; seq >= run.from && budget > 0; seq--, budget--) this.#ask({ ...run, seq });
    }
    this.#changed("missing");
  }

  #ask({ device, epoch, chain, seq }) {
    const place = { device, epoch, chain, seq };
    const ref = `${device}/${epoch}/${chain}/${seq}`;
    const asked = this.#asked.get(ref) ?? { tries: 0, round: 0 };
    if (asked.round > 0) return;
    this.#asked.set(ref, asked);
    this.#jobs.add(`ask ${ref}`, URGENCY.missing, async () => {
      if (this.#audit.has(place)) return null;
      let timing = this.#timing.retry;
      try {
        const item = await this.#opener.fetch(place);
        if (item !== null) {
          if (!this.#audit.has(place)) this.#accept(item, 0);
          this.#askForMissing();
          return null;
        }
      } catch (err) {
        if (err instanceof Refusal) {
          this.#withhold("item", err, null, ref);
          return null;
        }
        if (!(err instanceof APIError) || err.status !== 404) return this.#afterTrouble(err);
        timing = this.#timing.missing;
        asked.tries++;
      }
      asked.round++;
      this.#changed("missing");
      return asked.round < TRIES ? backoff(asked.round, timing) : null;
    }, backoff(0, this.#timing.missing));
  }

  /** How often a place was asked for in vain; all too often where only other things came. */
  #triesFor(ref) {
    const { tries = 0, round = 0 } = this.#asked.get(ref) ?? {};
    return round >= TRIES ? TRIES : tries;
  }

  /** What is not there, in the order of time: see missing.js. */
  notices() {
    return missingNotices(this.#audit.missing(), this.timeline, (ref) => this.#triesFor(ref));
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
