// The one signed form that everything takes: a COSE_Sign1 (RFC 9052) with ES256
// under a P-256 key, over a deterministic CBOR map whose entry 0 is a label.
// This module owns the envelope's form and its signature, by WebCrypto. It
// never decides whom to believe.

import { CBORError, decodeFirst, encode, Tagged } from "./cbor.js";
import { equal } from "./bytes.js";
import { refuse } from "./reasons.js";

const TAG_SIGN1 = 18;
const ES256 = -7;
const SIGNATURE_SIZE = 64;
const PROTECTED = Uint8Array.of(0xa1, 0x01, 0x26); // {1: -7}

// SubjectPublicKeyInfo of an uncompressed P-256 point, up to its coordinates.
export const SPKI_HEAD = Uint8Array.of(
  0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
  0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
);

export const ECDSA_P256 = { name: "ECDSA", namedCurve: "P-256" };
const ECDSA_SHA256 = { name: "ECDSA", hash: "SHA-256" };

/** Says whether bytes are the one DER spelling of a P-256 key. The point may still be off the curve. */
export function isP256SPKI(bytes) {
  return bytes instanceof Uint8Array && bytes.length === SPKI_HEAD.length + 64 &&
    equal(bytes.subarray(0, SPKI_HEAD.length), SPKI_HEAD);
}

/**
 * Reads one envelope of at most limit bytes from the front of bytes: its form,
 * not its signature.
 * @returns {{payload: Uint8Array, signature: Uint8Array, envelope: Uint8Array}}
 */
export function parseEnvelope(bytes, limit) {
  const { value, end, flaw } = readEnvelope(bytes, limit);
  if (!(value instanceof Tagged) || value.tag !== TAG_SIGN1) throw refuse("malformed", "not a COSE_Sign1");
  const parts = value.value;
  if (!Array.isArray(parts) || parts.length !== 4) throw refuse("malformed", "a COSE_Sign1 without its four parts");
  const [protectedHeader, unprotected, payload, signature] = parts;
  const bstr = (v) => v instanceof Uint8Array;
  if (!bstr(protectedHeader) || !(unprotected instanceof Map) || !bstr(payload) || !bstr(signature)) {
    throw refuse("malformed", "a COSE_Sign1 with parts of other types");
  }
  if (!equal(protectedHeader, PROTECTED)) throw algorithmRefusal(protectedHeader);
  if (unprotected.size !== 0) throw refuse("not-canonical", "the unprotected header is not empty");
  if (signature.length === 0) throw refuse("unsigned", "the signature is missing");
  if (signature.length !== SIGNATURE_SIZE) throw refuse("malformed", "a signature of another length");
  if (flaw) throw refuse("not-canonical", flaw.message);
  return { payload, signature, envelope: bytes.subarray(0, end) };
}

function readEnvelope(bytes, limit) {
  try {
    return decodeFirst(bytes.subarray(0, limit));
  } catch (err) {
    if (!(err instanceof CBORError)) throw err;
    const cut = err.kind === "truncated" && bytes.length > limit;
    throw refuse(cut ? "too-large" : err.kind, err.message);
  }
}

function algorithmRefusal(protectedHeader) {
  let header = null;
  try {
    const { value, end } = decodeFirst(protectedHeader);
    if (end === protectedHeader.length) header = value;
  } catch (err) {
    if (!(err instanceof CBORError)) throw err;
  }
  if (!(header instanceof Map)) return refuse("malformed", "a protected header that is no map");
  if (header.get(1) !== ES256) return refuse("unknown-algorithm", `algorithm ${header.get(1)}`);
  return refuse("not-canonical", "a protected header with more than the algorithm");
}

/** Imports a P-256 public key for verifying; throws when it is none. */
export async function importPublicKey(spki) {
  if (!isP256SPKI(spki)) throw new Error("not an ECDSA P-256 public key in its usual encoding");
  return crypto.subtle.importKey("spki", spki, ECDSA_P256, false, ["verify"]);
}

/** Says whether an envelope's signature is that of an imported key. */
export function verifySignature(key, { payload, signature }) {
  return crypto.subtle.verify(ECDSA_SHA256, key, signature, sigStructure(payload));
}

function sigStructure(payload) {
  return encode(["Signature1", PROTECTED, new Uint8Array(), payload]);
}

/** Signs payload with a P-256 private key; the result is the envelope's bytes. */
export async function sign1(privateKey, payload) {
  const signature = new Uint8Array(await crypto.subtle.sign(ECDSA_SHA256, privateKey, sigStructure(payload)));
  return encode(new Tagged(TAG_SIGN1, [PROTECTED, new Map(), payload, signature]));
}
