// Findings: what a hub, or whoever has a camera's key, was caught at
// (docs/ref/findings.md). A finding is told once, with what proves it.

import { base64url, hex, sha256, utf8, concat } from "./bytes.js";
import { THUMBNAIL } from "./item.js";

const MAX_FINDINGS = 1000;

/** Every name, in the order in which the specification lists them. */
export const NAMES = [
  "replayed", "dropped-middle", "withheld-tail", "swapped-events", "swapped-thumbnail", "fork", "rolled-back", "silent", "misrouted",
];

/**
 * @typedef {object} Finding
 * @property {string} name
 * @property {number} at milliseconds since 1970
 * @property {string} device "" where it is of no device
 * @property {number} epoch
 * @property {number} chain
 * @property {number} from a sequence number, a revision or a serial
 * @property {number} to
 * @property {string} detail for whoever looks into it
 * @property {{what: string, bytes: Uint8Array}[]} proof what was signed
 */

export class Findings {
  /** @type {Finding[]} the newest first */
  list = [];

  #told = new Set();
  #forked = new Set();
  #changed;

  /** @param {(finding: Finding) => void} changed told of each new one */
  constructor(changed) {
    this.#changed = changed;
  }

  /** Takes findings of earlier visits, which are not told again. */
  recall(findings) {
    for (const finding of findings) {
      this.#told.add(keyOf(finding));
      this.list.push(finding);
    }
    this.list.sort((a, b) => b.at - a.at);
  }

  /** Tells a finding, unless it was told before. Of a fork one is told for each chain. */
  tell({ name, at, device = "", epoch = 0, chain = 0, from = 0, to = from, detail, proof = [] }) {
    const kept = proof.filter(({ bytes }) => bytes?.length > 0).map(({ what, bytes }) => ({ what, bytes: bytes.slice() }));
    const finding = { name, at, device, epoch, chain, from, to, detail, proof: kept };
    const key = keyOf(finding);
    const place = `${device}/${epoch}/${chain}`;
    if (this.#told.has(key) || this.list.length >= MAX_FINDINGS || (name === "fork" && this.#forked.has(place))) return;
    this.#told.add(key);
    if (name === "fork") this.#forked.add(place);
    this.list.unshift(finding);
    this.#changed(finding);
  }
}

function keyOf({ name, device, epoch, chain, from, to, proof }) {
  return [name, device, epoch, chain, from, to, ...proof.map(({ what, bytes }) => `${what} ${base64url(bytes)}`)].join("/");
}

/** Which of the two swaps it is to answer with got, where `asked` is the header of what was asked for, or null. */
export function swapped(asked, got) {
  const wanted = asked?.kind === THUMBNAIL;
  const came = got.kind === THUMBNAIL;
  return wanted !== came || (wanted && asked.event !== got.event) ? "swapped-thumbnail" : "swapped-events";
}

/** A finding as a file: its name and its text. */
export async function findingFile(finding) {
  const { name, at, device, epoch, chain, from, to, detail, proof } = finding;
  const parts = [utf8(`lensward/finding/1\n${name}\n${device}\n${epoch}\n${chain}\n${from}\n${to}\n`)];
  for (const { what, bytes } of proof) parts.push(utf8(`${what} ${bytes.length}\n`), bytes);
  const hash = hex(await sha256(concat(...parts))).slice(0, 16);
  const text = JSON.stringify({
    lensward: "finding/1", name, at, ...(device && { device }), epoch, chain, from, to, detail,
    proof: proof.map(({ what, bytes }) => ({ what, bytes: base64url(bytes) })),
  }, null, 1);
  return { name: `${name}-${hash}.json`, text: `${text}\n` };
}
