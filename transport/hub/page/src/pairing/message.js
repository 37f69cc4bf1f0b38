// The messages of pairing: an envelope that its sender signed, and behind it a
// MAC by who has the code. Nothing is parsed before its MAC is good.

import { concat, equal } from "../bytes.js";
import { encode } from "../cbor.js";
import { importPublicKey, isP256SPKI, parseEnvelope, sign1, verifySignature } from "../cose.js";
import { Refusal, refuse } from "../reasons.js";
import { readCBOR, readFields } from "./code.js";

export const MAX_MESSAGE = 66 << 10;
const MAC_SIZE = 32;
const HMAC = { name: "HMAC", hash: "SHA-256" };

export const HELLO = "lensward/pairing-hello/1";
export const OFFER = "lensward/pairing-offer/1";
export const ACCEPT = "lensward/pairing-accept/1";
export const DONE = "lensward/pairing-done/1";
export const ABORT = "lensward/pairing-abort/1";

const ABORTS = new Set(["expired", "cancelled", "rolled-back", "wrong-record", "too-many"]);
const LAST_EPOCH = Number.MAX_SAFE_INTEGER;

const isBytes = (v) => v instanceof Uint8Array;
const isText = (v) => typeof v === "string";
const isNumber = (v) => Number.isSafeInteger(v) && v >= 0;

const head = [[0, ["label", isText]], [1, ["transcript", isBytes]]];
const FIELDS = {
  [HELLO]: new Map([
    ...head, [2, ["key", isBytes]], [3, ["nonce", isBytes]], [4, ["protection", isNumber]], [5, ["firmware", isText]],
    [6, ["acquired", isNumber]], [7, ["known", (v) => v instanceof Map, "optional"]],
  ]),
  [ACCEPT]: new Map([...head, [2, ["carried", isBytes]]]),
  [ABORT]: new Map([...head, [2, ["key", isBytes]], [3, ["reason", isText]]]),
};
const KNOWN = new Map([[1, ["epoch", isNumber]], [2, ["hash", isBytes]]]);

/** Makes a message of entries, signed by privateKey and with the MAC of macKey. */
export async function say(privateKey, macKey, entries) {
  const envelope = await sign1(privateKey, encode(new Map(entries)));
  const mac = await crypto.subtle.sign("HMAC", await hmacKey(macKey, "sign"), envelope);
  return concat(envelope, new Uint8Array(mac));
}

function hmacKey(bytes, use) {
  return crypto.subtle.importKey("raw", bytes, HMAC, false, [use]);
}

/**
 * Takes a message apart that was made with macKey. Who signed it is still to be
 * checked.
 * @returns {Promise<{label: string, payload: Uint8Array, signature: Uint8Array}>}
 */
export async function hear(macKey, message) {
  if (message.length > MAX_MESSAGE) throw refuse("too-large", `message of ${message.length} bytes, at most ${MAX_MESSAGE}`);
  if (message.length <= MAC_SIZE) throw refuse("malformed", `message of ${message.length} bytes`);
  const envelope = message.subarray(0, message.length - MAC_SIZE);
  const mac = message.subarray(message.length - MAC_SIZE);
  if (!(await crypto.subtle.verify("HMAC", await hmacKey(macKey, "verify"), mac, envelope))) {
    throw refuse("bad-mac", "not by the other holder of the code");
  }
  const statement = malformed(() => parseEnvelope(envelope, envelope.length));
  if (statement.envelope.length !== envelope.length) throw refuse("malformed", "bytes after the envelope");
  return { ...statement, label: labelOf(statement.payload) };
}

/** An envelope's own faults have no names of their own here. */
function malformed(read) {
  try {
    return read();
  } catch (err) {
    if (err instanceof Refusal) throw refuse("malformed", err.message);
    throw err;
  }
}

function labelOf(payload) {
  const value = readCBOR(payload);
  const label = value instanceof Map ? value.get(0) : null;
  return isText(label) ? label : "";
}

/** What a heard message of this kind says, by name. */
export function readMessage({ label, payload }) {
  return readFields(readCBOR(payload), FIELDS[label]);
}

/** Checks that a message stands where this side is. */
export function follows(got, want) {
  if (got.length !== 32) throw refuse("bad-field", `transcript of ${got.length} bytes`);
  if (!equal(got, want)) throw refuse("wrong-transcript", "it follows another message");
}

/** Checks that a heard message was signed by the key with this SubjectPublicKeyInfo. */
export async function signedBy(statement, spki) {
  let key;
  try {
    key = await importPublicKey(spki);
  } catch (err) {
    throw refuse("bad-field", err.message);
  }
  if (!(await verifySignature(key, statement))) throw refuse("bad-signature", "not by the key that it names");
}

/**
 * Holds a hello's fields against their rules.
 * @returns {{acquired: number, epoch: number, previous: Uint8Array|null}} on what
 *   terms the camera can be taken; epoch 0 where it may begin at any
 */
export async function helloTerms({ key, nonce, protection, firmware, acquired, known }) {
  if (!isP256SPKI(key)) throw refuse("bad-field", "the device key is none");
  await importPublicKey(key).catch(() => { throw refuse("bad-field", "the device key is none"); });
  if (nonce.length !== 16) throw refuse("bad-field", `nonce of ${nonce.length} bytes`);
  if (protection < 1 || protection > 2) throw refuse("bad-field", `key protection ${protection}`);
  if (!/^[ -~]{1,64}$/.test(firmware)) throw refuse("bad-field", "firmware version");
  if (acquired < 1 || acquired > 3) throw refuse("bad-field", `free in way ${acquired}`);
  if ((known === undefined) !== (acquired === 1)) throw refuse("bad-field", `free in way ${acquired}, and the ownership before does not fit`);
  if (known === undefined) return { acquired, epoch: 0, previous: null };
  const { epoch, hash } = readFields(known, KNOWN);
  if (epoch < 1 || epoch >= LAST_EPOCH || hash.length !== 32) throw refuse("bad-field", "known ownership");
  return { acquired, epoch: epoch + 1, previous: hash };
}

/** Holds an abort's fields against their rules. */
export function checkAbort({ reason, transcript }) {
  if (!ABORTS.has(reason)) throw refuse("bad-field", "abort for a reason that is none");
  if (transcript.length !== 32) throw refuse("bad-field", `transcript of ${transcript.length} bytes`);
}
