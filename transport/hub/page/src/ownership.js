// Whose camera it is, as docs/ref/ownership.md has it: a record that the owner
// signed and an acceptance that the device signed. Who delivers them is not
// believed: both IDs are the hashes of the keys that signed. An owner's browser
// also writes: the owner's half, and a release.

import { Encrypter } from "age-encryption";
import { base32, hex, sha256, unbase32, unhex } from "./bytes.js";
import { CBORError, decode, decodeFirst, encode } from "./cbor.js";
import { importPublicKey, isP256SPKI, parseEnvelope, sign1, verifySignature } from "./cose.js";
import { refuse } from "./reasons.js";

export const MAX_OWNERSHIP = 64 << 10;
const MAX_RECORD = 60 << 10;
const MAX_ACCEPTANCE = 2 << 10;
const MAX_RECIPIENTS = 8;
const MAX_VIEWERS = 64;
const LABEL_RECORD = "lensward/ownership/1";
const LABEL_ACCEPTANCE = "lensward/acceptance/1";
const LABEL_RELEASE = "lensward/release/1";

/** Kinds of recipients and roles of viewers. */
export const HOUSEHOLD = 1;
export const OWNER = 1;

const isBytes = (v) => v instanceof Uint8Array;
const isHash = (v) => isBytes(v) && v.length === 32;
const isCount = (v) => Number.isSafeInteger(v) && v >= 0;
const isPlace = (v) => isCount(v) && v >= 1;
const isOneOf = (most) => (v) => isPlace(v) && v <= most;
const isName = (v) => typeof v === "string" && /^\P{Cc}{1,64}$/u.test(v);

const RECORD = new Map([
  [0, ["label", (v) => v === LABEL_RECORD]], [1, ["device", isHash]], [2, ["deviceKey", isP256SPKI]],
  [3, ["owner", isHash]], [4, ["ownerKey", isP256SPKI]], [5, ["epoch", isPlace]], [6, ["revision", isPlace]],
  [7, ["previous", (v) => isHash(v) && v.some((b) => b !== 0), "optional"]], [8, ["acquired", isOneOf(3)]],
  [9, ["created", isCount]], [10, ["recipients", (v) => Array.isArray(v) && v.length >= 1 && v.length <= MAX_RECIPIENTS]],
  [11, ["viewers", (v) => Array.isArray(v) && v.length >= 1 && v.length <= MAX_VIEWERS, "optional"]],
]);
const RECIPIENT = new Map([[1, ["kind", isOneOf(2)]], [2, ["age", (v) => typeof v === "string"]]]);
const VIEWER = new Map([
  [1, ["key", isP256SPKI]], [2, ["name", isName]], [3, ["role", isOneOf(3)]], [4, ["until", isPlace, "optional"]],
]);
const ACCEPTANCE = new Map([
  [0, ["label", (v) => v === LABEL_ACCEPTANCE]], [1, ["record", isHash]], [2, ["device", isHash]], [3, ["boot", isPlace]],
  [4, ["protection", isOneOf(2)]], [5, ["accepted", isCount]], [6, ["firmware", isName]],
]);

/**
 * @typedef {object} Ownership
 * @property {object} record as the owner signed it; IDs and hashes as text
 * @property {object} acceptance as the device signed it
 * @property {string} hash the record's hash: its name in items
 * @property {Uint8Array} bytes both halves as they came
 */

/** Reads both halves: their form, not their signatures. @returns {Promise<Ownership>} */
export async function parseOwnership(raw) {
  if (raw.length > MAX_OWNERSHIP) throw refuse("too-large", `ownership of ${raw.length} bytes, at most ${MAX_OWNERSHIP}`);
  const pair = canonical(() => decode(raw));
  if (!Array.isArray(pair) || pair.length !== 2 || !pair.every(isBytes)) throw refuse("malformed", "not a record with its acceptance");
  const signed = half(pair[0], MAX_RECORD);
  const accepted = half(pair[1], MAX_ACCEPTANCE);
  const record = readRecord(signed);
  const acceptance = fields(payloadMap(accepted, LABEL_ACCEPTANCE), ACCEPTANCE, "acceptance");
  return {
    record: printable(record),
    acceptance: printable(acceptance),
    hash: hex(await sha256(signed.payload)),
    bytes: raw,
    statements: { signed, accepted },
  };
}

function readRecord(signed) {
  const record = fields(payloadMap(signed, LABEL_RECORD), RECORD, "record");
  checkRecord(record);
  return record;
}

/**
 * Signs an owner's half with the root key, and refuses one that breaks a rule.
 * @param {CryptoKey} rootKey
 * @param {{deviceKey: Uint8Array, owner: string, ownerKey: Uint8Array, epoch: number, revision: number,
 *   previous: Uint8Array|null, acquired: number, created: number,
 *   recipients: {kind: number, age: string}[], viewers: {key: Uint8Array, name: string, role: number, until?: number}[]}} says
 * @returns {Promise<{bytes: Uint8Array, hash: string}>}
 */
export async function signRecord(rootKey, says) {
  const map = new Map([
    [0, LABEL_RECORD], [1, await sha256(says.deviceKey)], [2, says.deviceKey], [3, unbase32(says.owner)], [4, says.ownerKey],
    [5, says.epoch], [6, says.revision], [8, says.acquired], [9, says.created],
    [10, says.recipients.map(({ kind, age }) => new Map([[1, kind], [2, age]]))],
  ]);
  if (says.previous) map.set(7, says.previous);
  if (says.viewers.length > 0) map.set(11, says.viewers.map(viewerMap));
  const payload = encode(map);
  const bytes = await sign1(rootKey, payload);
  readRecord(half(bytes, MAX_RECORD));
  return { bytes, hash: hex(await sha256(payload)) };
}

function viewerMap({ key, name, role, until }) {
  const map = new Map([[1, key], [2, name], [3, role]]);
  if (until) map.set(4, until);
  return map;
}

/** Signs that the camera of a record in force may become anyone's until expires, in milliseconds since 1970. */
export function signRelease(rootKey, { record, hash }, expires) {
  return sign1(rootKey, encode(new Map([
    [0, LABEL_RELEASE], [1, unbase32(record.device)], [2, unbase32(record.owner)], [3, record.ownerKey],
    [4, record.epoch], [5, unhex(hash)], [7, expires],
  ])));
}

function canonical(read) {
  try {
    return read();
  } catch (err) {
    if (err instanceof CBORError) throw refuse(err.kind, err.message);
    throw err;
  }
}

function half(raw, limit) {
  const statement = parseEnvelope(raw, limit);
  if (statement.envelope.length !== raw.length) throw refuse("malformed", "bytes after the envelope");
  return statement;
}

function payloadMap({ payload }, label) {
  const { value, end, flaw } = canonical(() => decodeFirst(payload));
  if (!(value instanceof Map) || end !== payload.length) throw refuse("malformed", "the payload is not one map");
  const says = value.get(0);
  const family = label.slice(0, label.lastIndexOf("/") + 1);
  if (typeof says === "string" && says.startsWith(family) && says !== label) throw refuse("unknown-version", JSON.stringify(says));
  if (flaw) throw refuse("not-canonical", flaw.message);
  return value;
}

/** Gives a map's entries their names, holding each against its rule. */
function fields(map, rules, what) {
  if (!(map instanceof Map)) throw refuse("malformed", `the ${what} is no map`);
  for (const key of map.keys()) if (!rules.has(key)) throw refuse("not-canonical", `the ${what} has an entry ${key} that is not known`);
  const out = {};
  for (const [key, [name, holds, optional]] of rules) {
    if (!map.has(key) && optional) continue;
    if (!map.has(key)) throw refuse("not-canonical", `the ${what} has no ${name}`);
    if (!holds(map.get(key))) throw refuse("bad-field", `the ${what}'s ${name} breaks its rule`);
    out[name] = map.get(key);
  }
  return out;
}

function checkRecord(record) {
  if (record.revision > 1 && !record.previous) throw refuse("bad-field", "a later revision that names no record before it");
  record.recipients = record.recipients.map((r) => fields(r, RECIPIENT, "recipient"));
  record.viewers = (record.viewers ?? []).map((v) => fields(v, VIEWER, "viewer"));
  const quantum = record.recipients.map((r) => recipientKind(r.age));
  if (new Set(quantum).size !== 1) throw refuse("bad-field", "recipients of mixed strength");
  if (!record.recipients.some((r) => r.kind === 1)) throw refuse("bad-field", "no household recipient");
  if (new Set(record.viewers.map((v) => hex(v.key))).size !== record.viewers.length) throw refuse("bad-field", "a viewer that is listed twice");
  if (record.viewers.some((v) => v.role === 3 && !v.until)) throw refuse("bad-field", "a guest without a date");
}

function recipientKind(recipient) {
  const match = /^age1(pq1)?[02-9ac-hj-np-z]+$/.exec(recipient);
  try {
    if (!match) throw new Error("another kind");
    new Encrypter().addRecipient(recipient);
    return match[1] ? "hybrid" : "x25519";
  } catch (err) {
    throw refuse("bad-field", `a recipient that is none: ${err.message}`);
  }
}

function printable(fields) {
  const out = { ...fields };
  for (const name of ["device", "owner"]) if (out[name]) out[name] = base32(out[name]);
  for (const name of ["previous", "record"]) if (out[name]) out[name] = hex(out[name]);
  return out;
}

/** Checks both IDs against their keys, both signatures, and that the device accepted this very record. */
export async function verifyOwnership({ record, acceptance, hash, statements }) {
  const owner = await key(record.ownerKey, "owner");
  const device = await key(record.deviceKey, "device");
  if (base32(await sha256(record.ownerKey)) !== record.owner) throw refuse("bad-field", "the owner ID is not the hash of the owner key");
  if (base32(await sha256(record.deviceKey)) !== record.device) throw refuse("device-mismatch", "the device ID is not the hash of the device key");
  if (!(await verifySignature(owner, statements.signed))) throw refuse("bad-signature", "the owner did not sign this record");
  if (acceptance.record !== hash || acceptance.device !== record.device) throw refuse("bad-field", "the acceptance is of another record or device");
  if (!(await verifySignature(device, statements.accepted))) throw refuse("bad-signature", "the device did not accept this record");
}

async function key(spki, whose) {
  try {
    return await importPublicKey(spki);
  } catch (err) {
    throw refuse("bad-field", `the ${whose} key: ${err.message}`);
  }
}
