// CBOR as Lensward's formats use it: RFC 8949 core deterministic encoding. The
// reader also understands what is well-formed but has a second spelling (longer
// heads, indefinite lengths, unsorted or repeated keys), only to say so: a
// verifier reports a second spelling and plain nonsense differently. Nesting
// deeper than four and long arrays and maps are nonsense.
//
// Values: unsigned and negative integers become numbers when they are safe
// integers, else BigInts; byte strings Uint8Array (a view, not a copy where
// there is one spelling); text string; arrays Array; maps Map; tags Tagged;
// false, true and null themselves; floats and other simple values Other.

import { concat, fromUTF8, utf8 } from "./bytes.js";

export const MAX_DEPTH = 4;
const MAX_ARRAY = 256;
const MAX_MAP = 64;

/** Why a value was refused: "truncated", "malformed" or "not-canonical". */
export class CBORError extends Error {
  constructor(kind, message, at) {
    super(`CBOR at byte ${at}: ${message}`);
    this.name = "CBORError";
    this.kind = kind;
  }
}

/** A float or simple value: no format here has one. */
export class Other {}

export class Tagged {
  constructor(tag, value) {
    this.tag = tag;
    this.value = value;
  }
}

/** Decodes one deterministically encoded value that fills all of bytes. */
export function decode(bytes) {
  const { value, end, flaw } = decodeFirst(bytes);
  if (end !== bytes.length) throw new CBORError("malformed", "bytes after the value", end);
  if (flaw) throw flaw;
  return value;
}

/**
 * Decodes the value that bytes begin with, also where its encoding is not the
 * deterministic one: flaw then says the first thing that is wrong with it.
 * A map's repeated key keeps its first value.
 * @returns {{value: *, end: number, flaw: CBORError|null}} end is the offset after the value.
 */
export function decodeFirst(bytes) {
  const r = { bytes, at: 0, flaw: null };
  const value = readValue(r, MAX_DEPTH);
  return { value, end: r.at, flaw: r.flaw };
}

const BREAK = Symbol("break");

function readValue(r, depth) {
  const start = r.at;
  const value = readAny(r, depth);
  if (value === BREAK) throw malformed("a break where there is nothing to end", start);
  return value;
}

function readAny(r, depth) {
  const start = r.at;
  const { major, info, argument } = readHead(r);
  switch (major) {
    case 0:
      return argument;
    case 1:
      return typeof argument === "number" ? -1 - argument : -1n - argument;
    case 2:
      return argument === null ? readChunks(r, 2) : take(r, argument);
    case 3:
      return readText(argument === null ? readChunks(r, 3) : take(r, argument), start);
    case 4:
      return readArray(r, argument, descend(depth, start), start);
    case 5:
      return readMap(r, argument, descend(depth, start), start);
    case 6:
      return new Tagged(argument, readValue(r, descend(depth, start)));
    default:
      return readSimple(info, argument, start);
  }
}

function malformed(message, at) {
  return new CBORError("malformed", message, at);
}

function note(r, message, at) {
  r.flaw ??= new CBORError("not-canonical", message, at);
}

function descend(depth, at) {
  if (depth === 0) throw malformed("nested too deeply", at);
  return depth - 1;
}

// The largest argument that is read as a number. -1 - argument is then safe too
// but for one value, which no format has.
const BIG = BigInt(Number.MAX_SAFE_INTEGER);

/** Reads a head; its argument is null for an indefinite length or a break. */
function readHead(r) {
  const start = r.at;
  const first = take(r, 1)[0];
  const major = first >> 5;
  const info = first & 31;
  if (info < 24) return { major, info, argument: info };
  if (info === 31 && major >= 2 && major !== 6) {
    if (major !== 7) note(r, "an indefinite length", start);
    return { major, info, argument: null };
  }
  if (info > 27) throw malformed("a reserved head", start);
  let argument = 0n;
  for (const b of take(r, 1 << (info - 24))) argument = (argument << 8n) | BigInt(b);
  const least = [24n, 0x100n, 0x10000n, 0x100000000n][info - 24];
  if (major !== 7 && argument < least) note(r, "a number or length in more bytes than it needs", start);
  return { major, info, argument: argument <= BIG ? Number(argument) : argument };
}

function readSimple(info, argument, start) {
  if (info === 31) return BREAK;
  if (info === 24 && argument < 32) throw malformed("a simple value in a longer head", start);
  if (info === 20) return false;
  if (info === 21) return true;
  if (info === 22) return null;
  return new Other();
}

function take(r, length) {
  if (length > r.bytes.length - r.at) throw new CBORError("truncated", "ends too early", r.at);
  const out = r.bytes.subarray(r.at, r.at + length);
  r.at += length;
  return out;
}

/** Reads the chunks of a string of indefinite length. */
function readChunks(r, major) {
  const chunks = [];
  for (;;) {
    const start = r.at;
    const chunk = readHead(r);
    if (chunk.major === 7 && chunk.info === 31) return concat(...chunks);
    if (chunk.major !== major || chunk.argument === null) throw malformed("a string in pieces of another kind", start);
    if (chunks.length >= MAX_ARRAY) throw malformed("a string in too many pieces", start);
    chunks.push(take(r, chunk.argument));
  }
}

function readText(bytes, start) {
  try {
    return fromUTF8(bytes);
  } catch {
    throw malformed("text that is not UTF-8", start);
  }
}

function readArray(r, length, depth, start) {
  const out = [];
  for (;;) {
    if (length !== null && out.length >= length) return out;
    if (out.length >= MAX_ARRAY || length > MAX_ARRAY) throw malformed("an array that is too long", start);
    const value = length === null ? readAny(r, depth) : readValue(r, depth);
    if (value === BREAK) return out;
    out.push(value);
  }
}

function readMap(r, length, depth, start) {
  const out = new Map();
  let previous = null;
  for (let pairs = 0; ; pairs++) {
    if (length !== null && pairs >= length) return out;
    if (pairs >= MAX_MAP || length > MAX_MAP) throw malformed("a map that is too long", start);
    const at = r.at;
    const key = length === null ? readAny(r, depth) : readValue(r, depth);
    if (key === BREAK) return out;
    if (!["number", "bigint", "string"].includes(typeof key)) throw malformed("a key that is no integer or text", at);
    const encoded = r.bytes.subarray(at, r.at);
    const value = readValue(r, depth);
    if (previous !== null && compare(previous, encoded) >= 0) note(r, "keys out of order or twice", at);
    previous = encoded;
    if (!out.has(key)) out.set(key, value);
  }
}

function compare(a, b) {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

/** Encodes integers, byte strings, text, arrays, Maps, Tagged, booleans and null. */
export function encode(value) {
  if (typeof value === "bigint" || Number.isSafeInteger(value)) {
    return value >= 0 ? head(0, value) : head(1, -1n - BigInt(value));
  }
  if (value instanceof Uint8Array) return concat(head(2, value.length), value);
  if (typeof value === "string") {
    const text = utf8(value);
    return concat(head(3, text.length), text);
  }
  if (Array.isArray(value)) return concat(head(4, value.length), ...value.map(encode));
  if (value instanceof Map) {
    const pairs = [...value].map(([k, v]) => [encode(k), encode(v)]);
    pairs.sort(([a], [b]) => compare(a, b));
    return concat(head(5, pairs.length), ...pairs.flat());
  }
  if (value instanceof Tagged) return concat(head(6, value.tag), encode(value.value));
  if (value === false) return Uint8Array.of(0xf4);
  if (value === true) return Uint8Array.of(0xf5);
  if (value === null) return Uint8Array.of(0xf6);
  throw new TypeError(`cannot encode ${typeof value} as CBOR`);
}

function head(major, argument) {
  const n = BigInt(argument);
  if (n < 24n) return Uint8Array.of((major << 5) | Number(n));
  if (n > 0xffffffffffffffffn) throw new RangeError("an integer that does not fit 64 bits");
  const size = n < 0x100n ? 0 : n < 0x10000n ? 1 : n < 0x100000000n ? 2 : 3;
  const out = new Uint8Array(1 + (1 << size));
  out[0] = (major << 5) | (24 + size);
  for (let i = out.length - 1, rest = n; i > 0; i--, rest >>= 8n) out[i] = Number(rest & 0xffn);
  return out;
}
