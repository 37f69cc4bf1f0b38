// The sealed item, read from docs/ref/sealed-item.md: parsing, verification,
// policy and opening. The steps are apart so that each can be refused with its
// own reason, and they go in one direction only: parse, verify, check, open.

import { Decrypter } from "age-encryption";
import { base32, equal, hex, sha256 } from "./bytes.js";
import { CBORError, decodeFirst } from "./cbor.js";
import { importPublicKey, parseEnvelope as parseStatement, verifySignature } from "./cose.js";
import { refuse } from "./reasons.js";

export const LABEL = "lensward/item/1";
export const MAX_ENVELOPE = 2 << 10;
export const MAX_CLIP_BODY = (4 << 20) + (8 << 10);
export const MAX_SMALL_BODY = 112 << 10;
export const MAX_ITEM = MAX_ENVELOPE + MAX_CLIP_BODY;
const MAX_CLIP_PLAIN = 4 << 20;
const MAX_SMALL_PLAIN = 96 << 10;
const MAX_PART = 1 << 20;

export const THUMBNAIL = 1;
export const CLIP = 2;
export const EVENT = 3;
export const CHECKPOINT = 4;
export const GAP = 5;

export const CLOCK_UNSET = 1;
export const CLOCK_FLOOR = 2;
export const CLOCK_NETWORK = 4;

export const KIND_NAMES = { 1: "thumbnail", 2: "clip", 3: "event", 4: "checkpoint", 5: "gap" };
export const CLOCK_NAMES = { 1: "unset", 2: "floor", 3: "rtc", 4: "network" };
export const PROTECTION_NAMES = { 1: "file", 2: "tpm" };
const MEDIA_TYPES = {
  1: "image/jpeg",
  2: "video/mp4",
  3: "application/vnd.lensward.event+json",
  4: "application/vnd.lensward.checkpoint+json",
  5: "application/vnd.lensward.gap+json",
};

const uint = (v) => typeof v === "bigint" ? v >= 0n : Number.isInteger(v) && v >= 0;
const int = (v) => typeof v === "bigint" || Number.isInteger(v);
const bytes = (v) => v instanceof Uint8Array;
const text = (v) => typeof v === "string";
const bool = (v) => typeof v === "boolean";

// The header's map: what each key is called and which type its value has.
const FIELDS = new Map([
  [0, ["label", text]], [1, ["kind", uint]], [2, ["deviceKey", bytes]], [3, ["device", bytes]],
  [4, ["owner", bytes]], [5, ["epoch", uint]], [6, ["record", bytes]], [7, ["boot", uint]],
  [8, ["chain", uint]], [9, ["seq", uint]], [10, ["prev", bytes]], [11, ["event", bytes]],
  [12, ["part", uint]], [13, ["last", bool]], [14, ["captured", int]], [15, ["clock", uint]],
  [16, ["mediaType", text]], [17, ["firmware", text]], [18, ["protection", uint]],
  [19, ["bodySize", uint]], [20, ["bodyHash", bytes]],
]);
const OPTIONAL = new Map([[11, new Uint8Array()], [12, 0], [13, false]]);

/**
 * @typedef {object} Header what the device signed. IDs and hashes are text, as
 *   printed; deviceKey is bytes; captured is in milliseconds since 1970.
 * @typedef {object} Item
 * @property {Header} header
 * @property {string} ref "device/epoch/chain/seq"
 * @property {string} hash the header's SHA-256 in hex: the item's identity
 * @property {Uint8Array} envelope
 * @property {Uint8Array|null} body the age file; null for a header alone
 */

/** Reads a whole item: structure, limits, canonical form. Believes nothing yet. @returns {Promise<Item>} */
export async function parseItem(raw) {
  if (raw.length > MAX_ITEM) throw refuse("too-large", `item of ${raw.length} bytes, at most ${MAX_ITEM}`);
  const item = await parseFront(raw);
  const size = raw.length - item.envelope.length;
  const says = item.header.bodySize;
  if (size < says) throw refuse("truncated", `body of ${size} bytes, the header says ${says}`);
  if (size > says) throw refuse("body-size", `body of ${size} bytes, the header says ${says}`);
  return { ...item, body: raw.subarray(item.envelope.length) };
}

/** Reads a signed header alone. @returns {Promise<Item>} */
export async function parseEnvelope(raw) {
  if (raw.length > MAX_ENVELOPE) throw refuse("too-large", `envelope of ${raw.length} bytes, at most ${MAX_ENVELOPE}`);
  const item = await parseFront(raw);
  if (item.envelope.length !== raw.length) throw refuse("malformed", "bytes after the envelope");
  return item;
}

async function parseFront(raw) {
  const statement = parseStatement(raw, MAX_ENVELOPE);
  const header = parseHeader(statement.payload);
  return {
    header,
    ref: refText(header),
    hash: hex(await sha256(statement.payload)),
    envelope: statement.envelope,
    body: null,
    statement,
  };
}

/** The text of a place in a chain: "device/epoch/chain/seq". */
export function refText({ device, epoch, chain, seq }) {
  return `${device}/${epoch}/${chain}/${seq}`;
}

function parseHeader(payload) {
  const { map, flaw } = readMap(payload);
  checkLabel(map.get(0));
  for (const key of map.keys()) {
    if (!FIELDS.has(key)) throw refuse("not-canonical", `the header has an entry ${key} that is not known`);
  }
  if (flaw) throw refuse("not-canonical", flaw.message);
  for (const [key, value] of map) {
    const [name, isType] = FIELDS.get(key);
    if (!isType(value)) throw refuse("malformed", `${name} has the wrong type`);
  }
  const header = {};
  for (const [key, [name]] of FIELDS) {
    if (OPTIONAL.has(key)) must(!map.has(key) || saysMore(map.get(key)), `${name} is there though it says nothing`);
    else must(map.has(key), `the header has no ${name}`);
    header[name] = map.get(key) ?? OPTIONAL.get(key);
  }
  checkHeader(header);
  return printable(header);
}

function checkLabel(label) {
  if (label === LABEL) return;
  if (text(label) && label.startsWith("lensward/item/")) throw refuse("unknown-version", JSON.stringify(label));
  throw refuse("malformed", "not an item's label");
}

/** Says whether an optional field holds something else than leaving it out would mean. */
function saysMore(value) {
  return value instanceof Uint8Array ? value.length > 0 : Boolean(value);
}

function readMap(payload) {
  try {
    const { value, end, flaw } = decodeFirst(payload);
    if (end !== payload.length) throw refuse("malformed", "bytes after the header");
    if (!(value instanceof Map)) throw refuse("malformed", "the header is no map");
    return { map: value, flaw };
  } catch (err) {
    // Bytes that end too early inside a payload of known length are no cut-off item.
    if (err instanceof CBORError) throw refuse("malformed", err.message);
    throw err;
  }
}

function must(holds, detail) {
  if (!holds) throw refuse("bad-field", detail);
}

function between(v, least, most) {
  return typeof v === "number" && v >= least && v <= most;
}

function checkHeader(h) {
  must(between(h.captured, 0, Number.MAX_SAFE_INTEGER), "captured is out of range");
  for (const name of ["device", "owner", "record", "prev", "bodyHash"]) {
    must(h[name].length === 32, `${name} of ${h[name].length} bytes, not 32`);
  }
  must(h.event.length === 0 || (h.event.length === 16 && h.event.some((b) => b !== 0)), "event ID is not 16 bytes, or zero");
  must(between(h.kind, THUMBNAIL, GAP), `kind ${h.kind} is not known`);
  for (const name of ["epoch", "boot", "chain", "seq"]) {
    must(between(h[name], 1, Number.MAX_SAFE_INTEGER), `${name} ${h[name]} is out of range`);
  }
  must(h.chain <= h.boot, "the chain began after this boot");
  must(h.seq !== 1 || equal(h.prev, h.record), "the first item does not follow its ownership record");
  must(between(h.clock, 1, 4), `clock trust ${h.clock} is not known`);
  must(between(h.protection, 1, 2), `key protection ${h.protection} is not known`);
  must(printableASCII(h.firmware, 64), "firmware version is not 1 to 64 printable characters");
  checkKind(h);
}

function checkKind(h) {
  const ofEvent = h.kind === THUMBNAIL || h.kind === CLIP || h.kind === EVENT;
  must(ofEvent === (h.event.length !== 0), `a ${KIND_NAMES[h.kind]} with or without an event ID`);
  must(h.kind === CLIP || (h.part === 0 && !h.last), `a ${KIND_NAMES[h.kind]} has no parts`);
  must(between(h.part, 0, MAX_PART), "part is out of range");
  must(between(h.bodySize, 1, h.kind === CLIP ? MAX_CLIP_BODY : MAX_SMALL_BODY), "body size is out of range");
  must(printableASCII(h.mediaType, 96), "media type is not 1 to 96 printable characters");
  const [base, ...parameters] = h.mediaType.split(";");
  must(base === MEDIA_TYPES[h.kind] && (parameters.length === 0 || h.kind === CLIP), `not the media type of a ${KIND_NAMES[h.kind]}`);
}

function printableASCII(s, limit) {
  return s.length >= 1 && s.length <= limit && /^[\x20-\x7e]*$/.test(s);
}

function printable(h) {
  return {
    ...h,
    device: base32(h.device),
    owner: base32(h.owner),
    record: hex(h.record),
    prev: hex(h.prev),
    event: hex(h.event),
    bodyHash: hex(h.bodyHash),
  };
}

/** Checks that the device ID is its key's hash and that this key signed the header. */
export async function verifyEnvelope(item) {
  const { deviceKey, device } = item.header;
  let key;
  try {
    key = await importPublicKey(deviceKey);
  } catch (err) {
    throw refuse("bad-field", `device key: ${err.message}`);
  }
  if (base32(await sha256(deviceKey)) !== device) throw refuse("device-mismatch", "the device ID is not the hash of the device key");
  if (!(await verifySignature(key, item.statement))) throw refuse("bad-signature", "the device's key did not sign this header");
}

/** verifyEnvelope, and then the body against the size and hash that were signed. */
export async function verifyItem(item) {
  await verifyEnvelope(item);
  if (item.body === null || item.body.length !== item.header.bodySize) throw refuse("body-size", "another length than was signed");
  if (hex(await sha256(item.body)) !== item.header.bodyHash) throw refuse("body-hash", "the body is not the one that the header was signed for");
}

/**
 * @typedef {object} Policy what a viewer knows before it looks at an item
 * @property {string} owner the only owner whose items are shown
 * @property {Map<string, Map<string, number>>} cameras for each paired device the
 *   hashes of the ownership records that its items may name, with their epochs
 */

/** Decides whether a verified header is for this viewer. @param {Policy} policy @param {Header} header */
export function checkPolicy(policy, header) {
  if (header.owner !== policy.owner) throw refuse("wrong-owner", `it belongs to owner ${header.owner.slice(0, 8)}`);
  const records = policy.cameras.get(header.device);
  if (!records) throw refuse("unknown-device", `camera ${header.device.slice(0, 8)} is not paired with this owner`);
  if (records.get(header.record) === header.epoch) return;
  if ([...records.values()].includes(header.epoch)) throw refuse("unknown-record", "it names an ownership record that is not known");
  throw refuse("wrong-epoch", `epoch ${header.epoch} is not this owner's`);
}

/** Decrypts the body of an item that verified and passed the policy. @returns {Promise<Uint8Array>} */
export async function openItem(item, identities) {
  let plain;
  try {
    const decrypter = new Decrypter();
    for (const identity of identities) decrypter.addIdentity(identity);
    plain = await decrypter.decrypt(item.body);
  } catch (err) {
    throw refuse("cannot-decrypt", err.message);
  }
  if (plain.length > (item.header.kind === CLIP ? MAX_CLIP_PLAIN : MAX_SMALL_PLAIN)) throw refuse("too-large", "the body is larger than its kind may be");
  return plain;
}
