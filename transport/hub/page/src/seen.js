// What a viewer has seen of each camera's chains and of the household, kept
// between visits as docs/ref/findings.md says: a hub that hands out less than it
// once did, or something else, is found out.

import { base64url, unbase64url } from "./bytes.js";

const MAX_HEADS = 512;
const MAX_HOLES = 256;

/**
 * @typedef {object} Head the newest item seen of a camera's newest chain in an epoch
 * @property {string} device
 * @property {number} epoch
 * @property {number} chain
 * @property {number} seq
 * @property {string} hash "" where it was kept before hashes were
 * @property {Uint8Array|null} envelope
 * @property {number} through up to where it is known what of the chain was missing
 * @property {[number, number][]} holes the runs up to there that were missing and not explained
 */

export class Seen {
  /** The newest statement of the household that the hub gave: {serial, hash}, or null. */
  household = null;

  #storage;
  #key;
  /** @type {Map<string, Head>} by device and epoch, the newest last */
  #heads = new Map();
  #moved = false;

  /** @param {string} owner @param {Storage|null} storage */
  constructor(owner, storage) {
    this.#storage = storage;
    this.#key = `lensward.heads.${owner}`;
    try {
      this.#load(JSON.parse(storage.getItem(this.#key) ?? "[]"));
    } catch {
      // Nothing kept, or nowhere to keep it: the chains are as long as this visit shows.
    }
  }

  #load(kept) {
    if (Array.isArray(kept)) return this.#loadFirst(kept);
    for (const [device, epoch, chain, seq, hash, envelope, through, holes] of kept.heads) {
      this.#heads.set(`${device}/${epoch}`, { device, epoch, chain, seq, hash, envelope: envelope ? unbase64url(envelope) : null, through, holes });
    }
    this.household = kept.household ?? null;
  }

  /** Version 1 had places alone, of all chains. */
  #loadFirst(kept) {
    for (const [name, seq] of kept) {
      const [device, ...numbers] = name.split("/");
      const [epoch, chain] = numbers.map(Number);
      if (!Number.isSafeInteger(seq) || seq < 1) continue;
      if ((this.#heads.get(`${device}/${epoch}`)?.chain ?? 0) > chain) continue;
      this.#heads.set(`${device}/${epoch}`, { device, epoch, chain, seq, hash: "", envelope: null, through: 0, holes: [] });
    }
  }

  /** @returns {Head[]} the newest last */
  get heads() {
    return [...this.#heads.values()];
  }

  /** @returns {Head|undefined} */
  head(device, epoch) {
    return this.#heads.get(`${device}/${epoch}`);
  }

  /** Takes an item that was taken into account. */
  note({ device, epoch, chain, seq }, hash, envelope) {
    const name = `${device}/${epoch}`;
    const known = this.#heads.get(name);
    if (known && (chain < known.chain || (chain === known.chain && (seq < known.seq || (seq === known.seq && known.hash !== ""))))) return;
    const same = known?.chain === chain;
    this.#heads.delete(name);
    this.#heads.set(name, { device, epoch, chain, seq, hash, envelope: envelope.slice(), through: same ? known.through : 0, holes: same ? known.holes : [] });
    if (this.#heads.size > MAX_HEADS) this.#heads.delete(this.#heads.keys().next().value);
    this.#moved = true;
  }

  /** Takes the newest statement that the hub gave. */
  noteStatement(serial, hash) {
    if ((this.household?.serial ?? 0) >= serial) return;
    this.household = { serial, hash };
    this.#moved = true;
  }

  /**
   * Notes what is missing when a visit has come to its end. What was there once stays
   * owed: it is no hole.
   * @param {import("./audit.js").Missing[]} missing
   */
  noteHoles(missing) {
    for (const head of this.#heads.values()) {
      const holes = holesNow(head, missing);
      if (holes.length > MAX_HOLES || (head.through === head.seq && JSON.stringify(holes) === JSON.stringify(head.holes))) continue;
      head.through = head.seq;
      head.holes = holes;
      this.#moved = true;
    }
  }

  save() {
    if (!this.#moved) return;
    const heads = this.heads.map((h) => [h.device, h.epoch, h.chain, h.seq, h.hash, h.envelope ? base64url(h.envelope) : "", h.through, h.holes]);
    try {
      this.#storage.setItem(this.#key, JSON.stringify({ version: 2, heads, household: this.household }));
      this.#moved = false;
    } catch {
      // As above.
    }
  }
}

/** The old holes that are still missing, and those beyond what was known. */
function holesNow(head, missing) {
  const holes = [];
  const add = (from, to) => {
    const last = holes.at(-1);
    if (last && last[1] + 1 === from) last[1] = to;
    else if (from <= to) holes.push([from, to]);
  };
  for (const m of missing) {
    if (m.device !== head.device || m.epoch !== head.epoch || m.chain !== head.chain || m.dropped || m.from > head.seq) continue;
    const to = Math.min(m.to, head.seq);
    for (const [a, b] of head.holes) if (a <= to && m.from <= b) add(Math.max(m.from, a), Math.min(to, b));
    if (to > head.through) add(Math.max(m.from, head.through + 1), to);
  }
  return holes;
}

/** Cuts a missing run at what a head knows: what is left was there, or explained, before. */
export function hadBefore(run, head) {
  const out = [];
  let { from } = run;
  const to = Math.min(run.to, head.through);
  for (const [a, b] of head.holes) {
    if (from > to || a > to) break;
    if (b < from) continue;
    if (a > from) out.push({ ...run, from, to: a - 1 });
    from = b + 1;
  }
  if (from <= to) out.push({ ...run, from, to });
  return out;
}
