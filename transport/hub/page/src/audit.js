// The account of what was taken: finds what is missing, repeated or out of
// place in the cameras' chains. Give it only items that verified and passed the
// policy.

import { refuse } from "./reasons.js";

/**
 * @typedef {object} Missing a run of items that a chain has and the viewer has not
 * @property {string} device
 * @property {number} epoch
 * @property {number} chain
 * @property {number} from first missing sequence number
 * @property {number} to last missing sequence number
 * @property {{kind: number, reason: string}|null} dropped what the camera itself
 *   says about it; null when nobody explained it
 */

export class Audit {
  #chains = new Map();

  /** Takes a header and its hash into account, or refuses: replayed, fork, broken-chain. */
  add(header, hash) {
    const { device, epoch, chain, seq, prev } = header;
    const c = this.#chain(device, epoch, chain);
    const have = c.items.get(seq);
    if (have?.hash === hash) throw refuse("replayed", `item ${seq} was already taken`);
    if (have) throw refuse("fork", `item ${seq} is not the one that was taken before`);
    const before = c.items.get(seq - 1);
    if (before && before.hash !== prev) throw refuse("broken-chain", `item ${seq} does not follow item ${seq - 1}`);
    const after = c.items.get(seq + 1);
    if (after && after.prev !== hash) throw refuse("broken-chain", `item ${seq} is not the one that item ${seq + 1} follows`);
    c.items.set(seq, { prev, hash });
    c.head = Math.max(c.head, seq);
  }

  /** Takes a gap item's body into account; refuses one that contradicts the items beside a range. */
  explain({ device, epoch }, gap) {
    for (const d of gap.dropped) {
      const c = this.#chain(device, epoch, d.chain);
      const before = c.items.get(d.from - 1);
      if (before && before.hash !== d.firstPrev) throw refuse("broken-chain", `dropped item ${d.from} does not follow item ${d.from - 1}`);
      const after = c.items.get(d.to + 1);
      if (after && after.prev !== d.lastHash) throw refuse("broken-chain", `item ${d.to + 1} does not follow dropped item ${d.to}`);
    }
    for (const d of gap.dropped) {
      const c = this.#chain(device, epoch, d.chain);
      c.head = Math.max(c.head, d.to);
      if (!c.dropped.some((x) => x.from === d.from && x.to === d.to && x.lastHash === d.lastHash)) c.dropped.push(d);
    }
  }

  /** Takes into account that a chain went at least as far as this, as an earlier visit saw. */
  expect({ device, epoch, chain, seq }) {
    const c = this.#chain(device, epoch, chain);
    c.head = Math.max(c.head, seq);
  }

  has({ device, epoch, chain, seq }) {
    return this.#chains.get(`${device}/${epoch}/${chain}`)?.items.has(seq) ?? false;
  }

  /** The hashes of the item in a place and of the one before it, or undefined. @returns {{hash: string, prev: string}|undefined} */
  at({ device, epoch, chain, seq }) {
    return this.#chains.get(`${device}/${epoch}/${chain}`)?.items.get(seq);
  }

  /** What is missing below each chain's head. The work is in proportion to what is known, not to the head. @returns {Missing[]} */
  missing() {
    const out = [];
    for (const c of this.#chains.values()) {
      let next = 1;
      const seqs = [...c.items.keys()].sort((a, b) => a - b);
      for (const seq of [...seqs, c.head + 1]) {
        if (seq > next) out.push(...c.split(next, seq - 1));
        next = seq + 1;
      }
    }
    return out.sort((a, b) => compareText(a.device, b.device) || a.epoch - b.epoch || a.chain - b.chain || a.from - b.from);
  }

  #chain(device, epoch, chain) {
    const key = `${device}/${epoch}/${chain}`;
    if (!this.#chains.has(key)) this.#chains.set(key, new Chain(device, epoch, chain));
    return this.#chains.get(key);
  }
}

class Chain {
  items = new Map();
  head = 0;
  dropped = [];

  constructor(device, epoch, chain) {
    this.name = { device, epoch, chain };
  }

  /** Cuts a missing run where the camera's word on it changes. */
  split(from, to) {
    const out = [];
    const ranges = this.dropped.filter((d) => d.to >= from && d.from <= to).sort((a, b) => a.from - b.from);
    let at = from;
    for (const d of ranges) {
      if (d.to < at) continue;
      if (d.from > at) this.#push(out, at, d.from - 1, null);
      this.#push(out, Math.max(at, d.from), Math.min(to, d.to), { kind: d.kind, reason: d.reason });
      at = Math.min(to, d.to) + 1;
    }
    if (at <= to) this.#push(out, at, to, null);
    return out;
  }

  #push(out, from, to, dropped) {
    const last = out[out.length - 1];
    const same = last && last.to === from - 1 && last.dropped?.reason === dropped?.reason && last.dropped?.kind === dropped?.kind;
    if (same) last.to = to;
    else out.push({ ...this.name, from, to, dropped });
  }
}

function compareText(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}
