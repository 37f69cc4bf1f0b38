// Looks at what a hub answers, and leaves out, for what docs/ref/findings.md calls
// a finding. It is told of everything that was taken, withheld and heard, and asks
// once more for what it misses before it says so.

import { CLOCK_NETWORK, parseEnvelope } from "./item.js";
import { Refusal, refuse } from "./reasons.js";
import { hadBefore } from "./seen.js";
import { Findings, swapped } from "./findings.js";

const CLOCK_SLACK = 5 * 60_000;
const SILENT_AFTER = 16 * 60_000;
const MAX_KEPT = 16_384;
const MAX_SUSPECTS = 64;
const MAX_UNSURE = 256;
const CONFIRM_ASKS = 3;

const chainOf = ({ device, epoch, chain }) => `${device}/${epoch}/${chain}`;
const refOf = ({ device, epoch, chain, seq }) => `${device}/${epoch}/${chain}/${seq}`;

export class Inspector {
  /** How long the hub keeps items by its word, in milliseconds; 0 for ever. */
  retention = 0;

  #audit;
  #seen;
  #records;
  #timing;
  #now;
  #ask;
  #again;
  #kept = new Map(); // envelopes by place, for proofs
  #tops = new Map(); // by chain: the highest number that came
  #expected = new Map(); // heads that the hub must fit with, by place
  #members = []; // those of them that other members told of
  #strangers = []; // members' heads whose records are not known yet
  #settled = new Map(); // by chain: {upTo, item}
  #beats = new Set(); // chains that say something every five minutes
  #gaps = new Map(); // gap items that were not opened, or not yet
  #suspects = new Map();
  #runs = []; // the missing runs that were told
  #unsure = []; // misrouted by records that may be too old
  #arrived = new Map(); // by device: when an item came last
  #quiet = new Map();
  #older = new Map(); // by device, "" for the household: since when the newest is not given

  /**
   * @param {object} options
   * @param {import("./audit.js").Audit} options.audit
   * @param {import("./seen.js").Seen} options.seen
   * @param {import("./records.js").Records} options.records
   * @param {{confirm: number, silent: number, older: number}} options.timing in milliseconds
   * @param {() => number} options.now the time, in milliseconds since 1970
   * @param {(place: object) => Promise<boolean>} options.ask asks the hub for an item by
   *   name; whether it gave it
   * @param {(what: "records"|"examine", ms: number) => void} options.again has the records
   *   fetched, or examine called, after a time
   * @param {(finding: object) => void} options.found
   */
  constructor({ audit, seen, records, timing, now, ask, again, found }) {
    this.#audit = audit;
    this.#seen = seen;
    this.#records = records;
    this.#timing = timing;
    this.#now = now;
    this.#ask = ask;
    this.#again = again;
    this.findings = new Findings(found);
    for (const head of seen.heads) {
      audit.expect(head);
      if (head.hash !== "" && head.envelope !== null) this.#expected.set(refOf(head), { hash: head.hash, envelope: head.envelope, prev: null });
    }
  }

  /** Has the envelopes of the known heads read. To be called before anything is taken. */
  async begin() {
    for (const [ref, head] of this.#expected) {
      try {
        const item = await parseEnvelope(head.envelope);
        Object.assign(head, { prev: item.header.prev, header: item.header });
      } catch (err) {
        if (!(err instanceof Refusal)) throw err;
        this.#expected.delete(ref);
      }
    }
  }

  #tell(finding) {
    this.findings.tell({ at: this.#now(), ...finding });
  }

  /** Refuses an item that contradicts a head that is known: fork, broken-chain. */
  fits(header, hash) {
    const at = (seq) => this.#expected.get(refOf({ ...header, seq })) ?? this.#audit.at({ ...header, seq });
    const here = at(header.seq);
    if (here && here.hash !== hash) throw refuse("fork", `item ${header.seq} is not the one that is known`);
    const before = at(header.seq - 1);
    if (before && before.hash !== header.prev) throw refuse("broken-chain", `item ${header.seq} does not follow the item ${header.seq - 1} that is known`);
    const after = at(header.seq + 1);
    if (after && after.prev !== hash) throw refuse("broken-chain", `item ${header.seq} is not the one that the known item ${header.seq + 1} follows`);
  }

  /** Notes an item that was taken. */
  took(header, hash, envelope, { isGap }) {
    const chain = chainOf(header);
    this.#tops.set(chain, Math.max(this.#tops.get(chain) ?? 0, header.seq));
    this.#kept.set(refOf(header), { header, envelope: envelope.slice() });
    if (this.#kept.size > MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value);
    this.#arrived.set(header.device, Date.now());
    if (isGap) this.#gaps.set(refOf(header), header);
    this.#seen.note(header, hash, envelope);
  }

  /** Notes that a gap item was opened. */
  explained(header) {
    this.#gaps.delete(refOf(header));
  }

  /** Notes what a checkpoint says of its chain; item is the whole of it. */
  heardCheckpoint(header, { cause, settled }, item) {
    const chain = chainOf(header);
    if (cause === "periodic") this.#beats.add(chain);
    if (settled < header.seq && settled > (this.#settled.get(chain)?.upTo ?? 0)) this.#settled.set(chain, { upTo: settled, item });
  }

  #envelope(place) {
    return this.#kept.get(refOf(place))?.envelope;
  }

  /** Judges an answer that was withheld; asked is the place that was asked for, or "". */
  withheld({ reason, misrouted, detail }, item, asked) {
    if (!item?.envelope) return;
    const { header } = item;
    const answer = { what: "answer", bytes: item.envelope };
    const place = { ...placeOf(header), detail: detail || reason };
    if (misrouted === "wrong-owner") return this.#tell({ ...place, name: "misrouted", proof: [answer] });
    if (misrouted === "unknown-device" || misrouted === "wrong-epoch") return this.#doubt({ at: Date.now(), item, place, answer });
    if (misrouted !== "") return;
    if (reason === "replayed") return this.#tell({ ...place, name: "replayed", proof: [answer] });
    if (reason === "fork" || reason === "broken-chain") return this.#tell({ ...place, name: "fork", proof: [this.#contradicted(header), answer] });
    if (reason !== "not-asked-for" || !asked) return;
    const known = this.#kept.get(asked);
    const proof = [{ what: "asked", bytes: known?.envelope }, answer];
    const name = asked === item.ref ? "fork" : swapped(known?.header ?? null, header);
    this.#tell({ ...placeOf(placeNamed(asked)), detail: place.detail, name, proof });
  }

  /** The envelope that an item cannot be of one history with. */
  #contradicted(header) {
    for (const seq of [header.seq, header.seq - 1, header.seq + 1]) {
      const ref = refOf({ ...header, seq });
      const bytes = this.#expected.get(ref)?.envelope ?? this.#kept.get(ref)?.envelope;
      if (bytes) return { what: "asked", bytes };
    }
    return { what: "asked", bytes: null };
  }

  /** Has a camera or epoch that is not known looked at again with newer records. */
  #doubt(doubt) {
    if (this.#unsure.length >= MAX_UNSURE) return;
    this.#unsure.push(doubt);
    this.#again("records", this.#timing.older);
  }

  /**
   * Looks at the records after they were fetched.
   * @param {number} asked when they were asked for, by Date.now
   * @param {(header: object) => string} policy the reason for which a header fails it, or ""
   */
  heardRecords(asked, policy, refused) {
    const doubts = this.#unsure.filter(({ at }) => at <= asked);
    this.#unsure = this.#unsure.filter(({ at }) => at > asked);
    for (const { item, place, answer } of doubts) {
      if (["unknown-device", "wrong-epoch"].includes(policy(item.header))) this.#tell({ ...place, name: "misrouted", proof: [answer] });
    }
    for (const { reason, detail, ownership } of refused) {
      if (reason === "fork" && ownership) this.#tellRecord("fork", ownership.record, detail, [{ what: "other-record", bytes: ownership.bytes }]);
    }
    for (const { device, given, isGiven } of this.#records.given()) {
      this.#judgeOlder(device, isGiven, () => this.#tellRecord("rolled-back", { device, ...given },
        `revision ${given.revision} of epoch ${given.epoch} was given before, and is given no more`, []));
    }
    this.#judgeStrangers(policy);
  }

  #tellRecord(name, { device, epoch, revision }, detail, proof) {
    this.#tell({ name, device, epoch, chain: 0, from: revision, to: revision, detail, proof });
  }

  /** Tells what is not given at two looks. */
  #judgeOlder(key, isGiven, tell) {
    const since = this.#older.get(key);
    if (isGiven) {
      this.#older.delete(key);
      return;
    }
    if (since === undefined) this.#older.set(key, Date.now());
    const left = (since ?? Date.now()) + this.#timing.older - Date.now();
    if (left <= 0) tell();
    else this.#again("records", left); // once more where another's second look came first
  }

  /** Looks at the newest statement that the hub gives of the household, null for none. */
  heardHousehold(newest, fork) {
    const known = this.#seen.household;
    if (fork) {
      this.#tell({
        name: "fork", from: fork.serial, to: fork.serial, detail: `another statement ${fork.serial} than was given before`,
        proof: [{ what: "other-statement", bytes: fork.envelope }],
      });
    }
    if (known) {
      this.#judgeOlder("", (newest?.serial ?? 0) >= known.serial, () => this.#tell({
        name: "rolled-back", from: known.serial, to: known.serial, detail: `statement ${known.serial} was given before, and is given no more`,
      }));
    }
    if (newest) this.#seen.noteStatement(newest.serial, newest.hash);
  }

  /** Tells that a row lists an item, and that it is answered with 404 again and again. */
  listedOnly(header) {
    if (!this.#keeps(header)) return;
    this.#tell({
      ...placeOf(header), name: "dropped-middle", detail: "the hub lists the item, and says that it is not there",
      proof: [{ what: "asked", bytes: this.#envelope(header) }],
    });
  }

  /** Looks, at the time line's end with no row to be asked for again, for what is missing and should not be. */
  examine() {
    const open = new Map();
    for (const run of this.#owing()) {
      if (this.#wasTold(run) || open.size >= MAX_SUSPECTS) continue;
      const ref = refOf({ ...run, seq: run.to });
      const suspect = this.#suspects.get(ref) ?? { asks: 0, isDenied: false };
      open.set(ref, suspect);
      if (suspect.isDenied) this.#tellRun(run);
      else if (suspect.asks === 0) this.#confirm(suspect, { ...run, seq: run.to });
    }
    this.#suspects = open;
    if ([...open.values()].every(({ isDenied }) => isDenied)) this.#seen.noteHoles(this.#audit.missing());
    this.#seen.save();
  }

  /** Asks for an item at once, and again a while later: it is denied if it does not come then either. */
  async #confirm(suspect, place) {
    for (suspect.asks = 1; suspect.asks <= CONFIRM_ASKS; suspect.asks++) {
      const answer = await this.#ask(place, suspect.asks === 1 ? 0 : this.#timing.confirm);
      if (answer === "given") return;
      if (answer === "denied" && suspect.asks > 1) {
        suspect.isDenied = true;
        this.#again("examine", 0);
        return;
      }
    }
  }

  #tellRun({ name, device, epoch, chain, from, to, detail, proof }) {
    this.#runs.push({ name, device, epoch, chain, from, to });
    this.#tell({ name, device, epoch, chain, from, to, detail, proof });
  }

  #wasTold(run) {
    return this.#runs.some((t) => t.name === run.name && chainOf(t) === chainOf(run) && t.from <= run.to && run.from <= t.to);
  }

  /** What is missing though the hub has to have it. */
  *#owing() {
    const { cameras } = this.#records.policy;
    for (const run of this.#audit.missing()) {
      if (run.dropped || !cameras.has(run.device) || this.#mayBeExplained(run)) continue;
      const chain = chainOf(run);
      if (run.from > (this.#tops.get(chain) ?? 0)) {
        yield* this.#tail(run);
        continue;
      }
      const settled = this.#settled.get(chain);
      if (settled && settled.upTo >= run.from && this.#mustKeep(run)) {
        const to = Math.min(run.to, settled.upTo);
        yield this.#middle({ ...run, to }, `items ${run.from} to ${to} are missing, and a checkpoint says that they were delivered`, { what: "checkpoint", bytes: settled.item });
        continue;
      }
      const head = this.#seen.head(run.device, run.epoch);
      if (!head || head.chain !== run.chain || this.retention > 0) continue;
      for (const lost of hadBefore(run, head)) yield this.#middle(lost, `items ${lost.from} to ${lost.to} are missing, and were there before`);
    }
  }

  /** Whether a gap item that was not opened stands after a run: it may be the one that names it. */
  #mayBeExplained({ device, epoch, chain, from }) {
    return [...this.#gaps.values()].some((g) => g.device === device && g.epoch === epoch && (g.chain > chain || (g.chain === chain && g.seq > from)));
  }

  #middle(run, detail, ...more) {
    const proof = [
      { what: "before", bytes: this.#envelope({ ...run, seq: run.from - 1 }) }, { what: "after", bytes: this.#envelope({ ...run, seq: run.to + 1 }) }, ...more,
    ];
    return { ...run, name: "dropped-middle", detail, proof };
  }

  *#tail(run) {
    for (const head of [...this.#seen.heads, ...this.#members]) {
      if (chainOf(head) !== chainOf(run) || head.seq < run.to) continue;
      const header = this.#expected.get(refOf(head))?.header;
      if (this.retention > 0 && !(header && this.#keeps(header))) continue;
      const proof = [{ what: "before", bytes: this.#envelope({ ...run, seq: run.from - 1 }) }, { what: "head", bytes: head.envelope }];
      yield { ...run, name: "withheld-tail", detail: `item ${head.seq} is known to exist, and the hub gives none after ${run.from - 1}`, proof };
      return;
    }
  }

  #mustKeep(run) {
    if (this.retention === 0) return true;
    const before = this.#kept.get(refOf({ ...run, seq: run.from - 1 }))?.header;
    return before !== undefined && this.#keeps(before);
  }

  /** Whether the hub must still have what was captured at the time of a header or after. */
  #keeps(header) {
    return this.retention === 0 || (header.clock === CLOCK_NETWORK && this.#now() - header.captured < this.retention - CLOCK_SLACK);
  }

  /** Looks at the hub's word on the cameras, the time line being read to its end. */
  heardDevices(words) {
    const still = new Map();
    for (const [device, word] of words) {
      const head = this.#silentHead(device, word);
      if (head === null) continue;
      const ref = refOf(head);
      const known = this.#quiet.get(device);
      const isSame = known?.ref === ref && (this.#arrived.get(device) ?? 0) <= known.since;
      const quiet = isSame ? known : { since: Date.now(), ref };
      still.set(device, quiet);
      if (Date.now() - quiet.since < this.#timing.silent) continue;
      this.#tell({
        ...placeOf(head), name: "silent", proof: [{ what: "before", bytes: head.envelope }],
        detail: `the hub says that it was last heard at ${new Date(word.seen * 1000).toISOString()}`,
      });
    }
    this.#quiet = still;
  }

  /** The newest head of a camera that is there by the hub's word and says nothing, or null. */
  #silentHead(device, { online, seen }) {
    const head = this.#seen.heads.filter((h) => h.device === device).sort((a, b) => b.epoch - a.epoch)[0];
    if (!head || !online || !this.#beats.has(chainOf(head))) return null;
    const header = this.#kept.get(refOf(head))?.header ?? this.#expected.get(refOf(head))?.header;
    const isFresh = Math.abs(this.#now() - seen * 1000) < CLOCK_SLACK;
    return header && isFresh && header.clock === CLOCK_NETWORK && this.#now() - header.captured > SILENT_AFTER ? head : null;
  }

  /** Takes the heads of another member: verified items, which are held against what is known. */
  hearMember(items, policy) {
    this.#strangers.push(...items);
    this.#judgeStrangers(policy);
  }

  #judgeStrangers(policy) {
    this.#strangers = this.#strangers.filter((item) => {
      if (policy(item.header) !== "") return true; // a record that comes later may know it
      this.#judgeMember(item);
      return false;
    });
  }

  #judgeMember(item) {
    const { header, hash, envelope } = item;
    try {
      this.fits(header, hash);
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
      this.#tell({
        ...placeOf(header), name: "fork", detail: `a member's head: ${err.detail}`,
        proof: [this.#contradicted(header), { what: "answer", bytes: envelope }],
      });
      return;
    }
    this.#expected.set(item.ref, { hash, envelope, prev: header.prev, header });
    this.#members.push({ ...placeOf(header), seq: header.seq, hash, envelope });
    this.#audit.expect(header);
  }
}

function placeOf({ device, epoch, chain, seq }) {
  return { device, epoch, chain, from: seq, to: seq };
}

function placeNamed(ref) {
  const [device, ...numbers] = ref.split("/");
  const [epoch, chain, seq] = numbers.map(Number);
  return { device, epoch, chain, seq };
}
