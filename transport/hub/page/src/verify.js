// The verifying half of the page without the page, for whoever wants to hold it
// against another implementation: an ES module that also sets
// globalThis.LenswardVerify.

import { Audit } from "./audit.js";
import { parseGap } from "./bodies.js";
import { hex, sha256, unbase64url } from "./bytes.js";
import {
  checkPolicy, CLOCK_NAMES, GAP, KIND_NAMES, openItem, parseEnvelope, parseItem, PROTECTION_NAMES, verifyEnvelope, verifyItem,
} from "./item.js";
import { judgeHousehold, judgePairing } from "./judge.js";
import { parseOwnership, verifyOwnership } from "./ownership.js";
import { reasonOf, refuse } from "./reasons.js";

/** A new account of a chain's items. */
function audit() {
  return new Audit();
}

/**
 * Judges a test vector (transport/seal/testdata/vectors) as a viewer would.
 * @param {object} vector the parsed file
 * @param {string[]} identities the age identities of keys.json
 * @returns {Promise<{word: string, words?: string[], header?: object, plain_sha256?: string, missing: object[]}>}
 *   word is "ok" or the reason for the last item; words the reasons of flip_each
 */
async function judgeVector(vector, identities) {
  const items = vector.items.map(unbase64url);
  if (vector.pad) {
    const last = items.pop();
    const padded = new Uint8Array(last.length + vector.pad);
    padded.set(last);
    items.push(padded);
  }
  if (vector.flip_each) return { word: "", words: await flipEach(vector, items.at(-1), identities), missing: [] };
  const account = new Audit();
  let out = {};
  for (const [i, raw] of items.entries()) {
    const isLast = i === items.length - 1;
    out = await judgeOne(raw, { vector, identities, account, asked: isLast ? vector.asked : "" });
    if (!isLast && out.word !== "ok") throw new Error(`item ${i} of ${vector.name}: ${out.word}`);
  }
  return { ...out, missing: account.missing().map(printableRun) };
}

async function flipEach(vector, raw, identities) {
  const words = [];
  for (let i = 0; i < raw.length; i++) {
    const flipped = raw.slice();
    flipped[i] ^= 1;
    words.push((await judgeOne(flipped, { vector, identities, account: new Audit(), asked: vector.asked })).word);
  }
  return words;
}

async function judgeOne(raw, { vector, identities, account, asked }) {
  try {
    const item = vector.envelope_only ? await parseEnvelope(raw) : await parseItem(raw);
    await (vector.envelope_only ? verifyEnvelope(item) : verifyItem(item));
    if (asked && item.ref !== asked) throw refuse("not-asked-for", `it is ${item.ref}`);
    checkPolicy(policyOf(vector.policy), item.header);
    account.add(item.header, item.hash);
    const out = { word: "ok", header: printableHeader(item.header) };
    if (vector.envelope_only) return out;
    const plain = await openItem(item, identities);
    if (item.header.kind === GAP) account.explain(item.header, parseGap(plain));
    return { ...out, plain_sha256: hex(await sha256(plain)) };
  } catch (err) {
    const word = reasonOf(err);
    if (word === "") throw err;
    return { word };
  }
}

function policyOf({ owner, cameras }) {
  return { owner, cameras: new Map(Object.entries(cameras ?? {}).map(([device, records]) => [device, new Map(Object.entries(records))])) };
}

function printableHeader(h) {
  return {
    kind: KIND_NAMES[h.kind], device: h.device, owner: h.owner, epoch: h.epoch, record: h.record, boot: h.boot,
    chain: h.chain, seq: h.seq, prev: h.prev, event: h.event || "0".repeat(32), part: h.part, last: h.last,
    captured: h.captured, clock: CLOCK_NAMES[h.clock], media_type: h.mediaType, firmware: h.firmware,
    protection: PROTECTION_NAMES[h.protection], body_size: h.bodySize, body_hash: h.bodyHash,
  };
}

function printableRun({ chain, from, to, dropped }) {
  return { chain, from, to, dropped: dropped !== null, reason: dropped?.reason ?? "" };
}

export {
  audit, checkPolicy, judgeHousehold, judgePairing, judgeVector, openItem, parseEnvelope, parseItem, parseOwnership, reasonOf, verifyEnvelope, verifyItem, verifyOwnership,
};

globalThis.LenswardVerify = {
  audit, checkPolicy, judgeHousehold, judgePairing, judgeVector, openItem, parseEnvelope, parseItem, parseOwnership, reasonOf, verifyEnvelope, verifyItem, verifyOwnership,
};
