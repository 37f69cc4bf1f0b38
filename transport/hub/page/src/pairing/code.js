// The pairing code, as docs/ref/pairing.md has it: what an owner shows to a
// camera, and the keys that both make of it. A code's text is a secret until the
// pairing is over.

import { base32, concat, fromUTF8, hex, sha256, unbase32, utf8 } from "../bytes.js";
import { CBORError, decode, encode } from "../cbor.js";
import { refuse } from "../reasons.js";

export const MAX_CODE = 640;
/** How long a code should be good for, in milliseconds. */
export const CODE_LIFE = 10 * 60_000;

const NAME = "LENSWARD";
const VERSION = "1";
const SECRET_SIZE = 16;
const MAX_ADDRESSES = 4;

const isBytes = (v) => v instanceof Uint8Array;
const isText = (v) => typeof v === "string";
const isNumber = (v) => Number.isSafeInteger(v) && v >= 0;
const isMap = (v) => v instanceof Map;
const isTruth = (v) => typeof v === "boolean";

const CODE = new Map([
  [1, ["owner", isBytes]], [2, ["secret", isBytes]], [3, ["expires", isNumber]], [4, ["hub", isMap, "optional"]], [5, ["wifi", isMap, "optional"]],
]);
const HUB = new Map([[1, ["id", isBytes]], [2, ["addresses", (v) => Array.isArray(v) && v.every(isText)]]]);
const WIFI = new Map([[1, ["ssid", isBytes]], [2, ["passphrase", isText, "optional"]], [3, ["hidden", isTruth, "optional"]]]);

/**
 * Gives a map's entries their names: an entry that is not known or of another
 * type is malformed, one that is missing or null a bad field.
 */
export function readFields(map, rules) {
  if (!isMap(map)) throw refuse("malformed", "not a map");
  for (const [key, value] of map) {
    const rule = rules.get(key);
    if (rule && value === null) throw refuse("bad-field", `${rule[0]} is null`);
    if (!rule || !rule[1](value)) throw refuse("malformed", `entry ${key}`);
  }
  const out = {};
  for (const [key, [name, , optional]] of rules) {
    if (map.has(key)) out[name] = map.get(key);
    else if (!optional) throw refuse("bad-field", `no ${name}`);
  }
  return out;
}

/** Decodes the one CBOR value that bytes are, or refuses them as malformed. */
export function readCBOR(bytes) {
  try {
    return decode(bytes);
  } catch (err) {
    if (err instanceof CBORError) throw refuse("malformed", err.message);
    throw err;
  }
}

/**
 * @typedef {object} Code
 * @property {string} text as it is shown
 * @property {string} owner the owner's ID
 * @property {number} expires seconds since 1970, by the owner's clock
 * @property {{id: string, addresses: string[]}|null} hub
 * @property {{ssid: Uint8Array, passphrase: string, hidden: boolean}|null} wifi
 * @property {{start: Uint8Array, camera: Uint8Array, owner: Uint8Array, rendezvous: string}} keys
 */

/**
 * Makes a code with a secret of its own; refuses a value that breaks its rules.
 * @param {{owner: string, expires: number, hub?: object|null, wifi?: object|null}} says
 * @returns {Promise<Code>}
 */
export function makeCode({ owner, expires, hub = null, wifi = null }) {
  const map = new Map([[1, unbase32(owner)], [2, crypto.getRandomValues(new Uint8Array(SECRET_SIZE))], [3, expires]]);
  if (hub) map.set(4, new Map([[1, unbase32(hub.id)], [2, hub.addresses]]));
  if (wifi) {
    const network = new Map([[1, wifi.ssid]]);
    if (wifi.passphrase) network.set(2, wifi.passphrase);
    if (wifi.hidden) network.set(3, true);
    map.set(5, network);
  }
  return parseCode(`${NAME}${VERSION}:${base32(encode(map)).toUpperCase()}`);
}

/** Reads a code's text. That it has expired is no fault. @returns {Promise<Code>} */
export async function parseCode(text) {
  if (text.length > MAX_CODE) throw refuse("too-large", `${text.length} characters, at most ${MAX_CODE}`);
  const [, version, body] = /^LENSWARD(\d+):(.*)$/s.exec(text) ?? [];
  if (version === undefined) throw refuse("not-a-code", `it does not begin with ${NAME}${VERSION}:`);
  if (version !== VERSION) throw refuse("unknown-version", `version ${version}, not ${VERSION}`);
  const says = readFields(readCBOR(unbase32Upper(body)), CODE);
  checkCode(says);
  const hub = says.hub ? readHub(says.hub) : null;
  const wifi = says.wifi ? readWiFi(says.wifi) : null;
  return { text, owner: base32(says.owner), expires: says.expires, hub, wifi, keys: await derive(says.secret, text) };
}

function unbase32Upper(body) {
  if (!/^[A-Z2-7]*$/.test(body)) throw refuse("malformed", "not base32 in its usual spelling");
  try {
    return unbase32(body.toLowerCase());
  } catch {
    throw refuse("malformed", "not base32 in its usual spelling");
  }
}

function checkCode({ owner, secret, expires }) {
  if (owner.length !== 32) throw refuse("bad-field", `owner ID of ${owner.length} bytes`);
  if (secret.length !== SECRET_SIZE) throw refuse("bad-field", `secret of ${secret.length} bytes`);
  if (expires < 1 || expires > 0xffffffff) throw refuse("bad-field", `expiry ${expires}`);
}

function readHub(map) {
  const { id, addresses } = readFields(map, HUB);
  if (id.length !== 32) throw refuse("bad-field", `hub ID of ${id.length} bytes`);
  if (addresses.length < 1 || addresses.length > MAX_ADDRESSES) throw refuse("bad-field", `${addresses.length} hub addresses, 1 to ${MAX_ADDRESSES}`);
  if (!addresses.every(isHostPort)) throw refuse("bad-field", "a hub address that is not host:port");
  return { id: base32(id), addresses };
}

function readWiFi(map) {
  const { ssid, passphrase, hidden } = readFields(map, WIFI);
  if (ssid.length < 1 || ssid.length > 32) throw refuse("bad-field", `SSID of ${ssid.length} bytes, 1 to 32`);
  if (passphrase !== undefined && !isPassphrase(passphrase)) throw refuse("bad-field", "a Wi-Fi passphrase is 8 to 63 printable ASCII characters");
  if (hidden === false) throw refuse("bad-field", "a network that is not hidden says nothing of it");
  return { ssid, passphrase: passphrase ?? "", hidden: hidden === true };
}

/** Says whether text can be a Wi-Fi passphrase. */
export function isPassphrase(text) {
  return /^[ -~]{8,63}$/.test(text);
}

/** Says whether text is a host, a colon and a port; an IPv6 address is in brackets. */
export function isHostPort(text) {
  const [, host, port] = /^([!-~]+):([1-9]\d{0,4})$/.exec(text) ?? [];
  if (host === undefined || text.length > 255 || Number(port) > 65535) return false;
  return /^\[[^[\]]+\]$/.test(host) || !/[[\]:]/.test(host);
}

async function derive(secret, text) {
  const key = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const salt = await sha256(utf8(text));
  const make = async (name, size) => {
    const info = utf8(`lensward/pairing/1 ${name}`);
    return new Uint8Array(await crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt, info }, key, size * 8));
  };
  return {
    start: await make("transcript", 32), camera: await make("camera", 32), owner: await make("owner", 32),
    rendezvous: hex(await make("rendezvous", 16)),
  };
}

/** The network's name for people: its bytes are usually UTF-8. */
export function ssidText(ssid) {
  try {
    return fromUTF8(ssid);
  } catch {
    return hex(ssid);
  }
}

/** The transcript after a message. */
export function nextTranscript(transcript, message) {
  return sha256(concat(transcript, message));
}
