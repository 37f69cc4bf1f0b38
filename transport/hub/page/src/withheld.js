// What was not shown, and why: a bounded list, newest first, with the headers
// that prove that something was misrouted.

const MAX_ENTRIES = 300;
const MAX_REPORTS = 4096;

/** Reasons that prove, for an item that verified, that it was handed to the wrong viewer. */
export const MISROUTED = new Set(["wrong-owner", "unknown-device", "wrong-epoch", "unknown-record"]);

/**
 * @typedef {object} Entry
 * @property {number} id
 * @property {number} time when it was withheld, milliseconds since 1970, by this browser's clock
 * @property {"timeline"|"item"|"record"} from where the hub answered with it
 * @property {string} reason as docs/ref/sealed-item.md names it
 * @property {string} misrouted the reason that proves it was misrouted, or ""
 * @property {string} detail
 * @property {object|null} header what its own signed header says, where it verified
 * @property {Uint8Array|null} proof the misrouted envelope
 * @property {string} asked the place that was asked for, or ""
 * @property {"no"|"pending"|"yes"|"failed"} reported
 * @property {Entry} [first] the entry with the same header by which it was reported
 */
export class Withheld {
  /** @type {Entry[]} */
  entries = [];
  total = 0;
  #reported = new Map();

  /** @returns {Entry} */
  add({ from, reason, misrouted = "", detail = "", header = null, proof = null, asked = "" }) {
    const entry = { id: ++this.total, time: Date.now(), from, reason, misrouted, detail, header, proof, asked, reported: "no" };
    this.entries.unshift(entry);
    this.entries.length = Math.min(this.entries.length, MAX_ENTRIES);
    return entry;
  }

  /** Says, once for each header hash, that it has still to be reported; later entries go by the first. */
  claim(entry, hash) {
    entry.first = this.#reported.get(hash) ?? entry;
    if (entry.first !== entry) return false;
    this.#reported.set(hash, entry);
    if (this.#reported.size > MAX_REPORTS) this.#reported.delete(this.#reported.keys().next().value);
    return true;
  }
}
