// The owner's keys in this browser: made here or imported from the file that
// `lensctl owner export` writes. Private keys never leave the browser except in
// the copy that the owner saves. The viewer key and, where it is here, the root
// key are kept as WebCrypto keys that cannot be read out again; the household
// identities are text, because age's hybrid identities are no WebCrypto keys.

import { generateHybridIdentity, identityToRecipient } from "age-encryption";
import { base32, base64url, concat, equal, sha256, unbase64url } from "./bytes.js";
import { ECDSA_P256, isP256SPKI, SPKI_HEAD } from "./cose.js";
import { parseJSON } from "./json.js";
import { HOUSEHOLD, OWNER } from "./ownership.js";

export const FORMAT = "lensward/owner-keys/1";
export const MAX_FILE_SIZE = 64 * 1024;
const MAX_IDENTITIES = 64;

export class KeysError extends Error {
  constructor(message) {
    super(message);
    this.name = "KeysError";
  }
}

/**
 * @typedef {object} Keys
 * @property {string} owner the owner's ID
 * @property {Uint8Array} ownerKey the owner's public root key (SPKI)
 * @property {CryptoKey} viewerKey this browser's signing key; not extractable
 * @property {Uint8Array} viewerSPKI its public half
 * @property {string[]} identities the household's age identities
 * @property {string[]} memberIdentities what opens the keys of the household's statements; may be empty
 * @property {CryptoKey|null} rootKey what makes cameras the owner's, where it is here; not extractable
 */

/** Reads an exported key file; throws KeysError with what is wrong with it. @returns {Promise<Keys>} */
export async function parseKeys(text) {
  if (text.length > MAX_FILE_SIZE) throw new KeysError("The file is too large to be an owner's keys.");
  let file;
  try {
    file = parseJSON(text);
  } catch {
    throw new KeysError("This is not a key file: it is not JSON.");
  }
  if (file === null || typeof file !== "object" || file.format !== FORMAT) {
    throw new KeysError(`This is not a key file: its format is not ${FORMAT}.`);
  }
  const ownerKey = field(file, "owner_key");
  if (!isP256SPKI(ownerKey) || base32(await sha256(ownerKey)) !== file.owner) {
    throw new KeysError("The owner's ID in the file is not the one of its key.");
  }
  return {
    owner: file.owner,
    ownerKey,
    identities: checkIdentities(file.household_identities),
    memberIdentities: file.member_identities === undefined ? [] : checkIdentities(file.member_identities),
    ...(await importViewerKey(field(file, "viewer_key"))),
    rootKey: file.owner_private_key === undefined ? null : await importRootKey(field(file, "owner_private_key"), ownerKey),
  };
}

/** Whom a camera of these keys' owner encrypts to and who may look, for a record: by the household's newest statement, where there is one. */
export async function audienceOf({ identities, viewerSPKI }, statement = null) {
  if (statement !== null) {
    return {
      recipients: [{ kind: HOUSEHOLD, age: statement.recipient }],
      viewers: statement.members.map(({ key, name, role, until }) => ({ key, name, role, until })),
    };
  }
  return {
    recipients: [{ kind: HOUSEHOLD, age: await identityToRecipient(identities[0]) }],
    viewers: [{ key: viewerSPKI, name: "owner", role: OWNER }],
  };
}

function field(file, name) {
  try {
    return unbase64url(file[name]);
  } catch {
    throw new KeysError(`The field ${name} of the key file is missing or broken.`);
  }
}

function checkIdentities(list) {
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_IDENTITIES) {
    throw new KeysError("The key file holds no household identity, or too many.");
  }
  for (const identity of list) {
    if (typeof identity !== "string" || !/^AGE-SECRET-KEY-(PQ-)?1[A-Z0-9]+$/.test(identity)) {
      throw new KeysError("A household identity in the key file is not an age identity.");
    }
  }
  return list;
}

async function importViewerKey(pkcs8) {
  const { key, spki } = await importSigningKey(pkcs8, "viewer key");
  return { viewerKey: key, viewerSPKI: spki };
}

async function importRootKey(pkcs8, ownerKey) {
  const { key, spki } = await importSigningKey(pkcs8, "root key");
  if (!equal(spki, ownerKey)) throw new KeysError("The root key in the file is not the owner's that it names.");
  return key;
}

async function importSigningKey(pkcs8, what) {
  try {
    const readable = await crypto.subtle.importKey("pkcs8", pkcs8, ECDSA_P256, true, ["sign"]);
    return { key: await crypto.subtle.importKey("pkcs8", pkcs8, ECDSA_P256, false, ["sign"]), spki: await publicOf(readable) };
  } catch {
    throw new KeysError(`The ${what} in the file is not a P-256 private key.`);
  }
}

/** The SubjectPublicKeyInfo of a private key that may be read out. */
export async function publicOf(privateKey) {
  const { x, y } = await crypto.subtle.exportKey("jwk", privateKey);
  return concat(SPKI_HEAD, unbase64url(x), unbase64url(y));
}

/**
 * Makes an owner: a root key, a viewer key and a hybrid household identity.
 * The text is the only copy of the root key that can leave the browser.
 * @returns {Promise<{keys: Keys, text: string, recipient: string}>}
 */
export async function makeKeys() {
  const root = await crypto.subtle.generateKey(ECDSA_P256, true, ["sign", "verify"]);
  const viewer = await crypto.subtle.generateKey(ECDSA_P256, true, ["sign", "verify"]);
  const ownerKey = new Uint8Array(await crypto.subtle.exportKey("spki", root.publicKey));
  const identity = await generateHybridIdentity();
  const text = JSON.stringify({
    format: FORMAT,
    owner: base32(await sha256(ownerKey)),
    owner_key: base64url(ownerKey),
    owner_private_key: base64url(new Uint8Array(await crypto.subtle.exportKey("pkcs8", root.privateKey))),
    viewer_key: base64url(new Uint8Array(await crypto.subtle.exportKey("pkcs8", viewer.privateKey))),
    household_identities: [identity],
  }, null, 2) + "\n";
  return { keys: await parseKeys(text), text, recipient: await identityToRecipient(identity) };
}

/** Takes #keys=BASE64URL(JSON) out of the address bar and returns its JSON text, or null. */
export function takeKeysFromAddress(location, history) {
  const match = /^#keys=([A-Za-z0-9_-]*)$/.exec(location.hash);
  if (!match) return null;
  history.replaceState(null, "", location.pathname + location.search);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(unbase64url(match[1]));
  } catch {
    throw new KeysError("The link's keys are broken: it may have been cut off when it was copied.");
  }
}

/**
 * Takes #once=TOKEN out of the address bar and returns the keys' JSON text, which
 * the server on this machine (`lensctl view --owner`) gives for the token a single
 * time, or null. So the keys are in no address, history or terminal.
 */
export async function takeKeysByToken(location, history, fetch) {
  const match = /^#once=([A-Za-z0-9_-]+)$/.exec(location.hash);
  if (!match) return null;
  history.replaceState(null, "", location.pathname + location.search);
  const answer = await fetch("/local/keys", { method: "POST", headers: { Authorization: `Bearer ${match[1]}` } });
  if (!answer.ok) throw new KeysError("This link was used before, or is not from here. Start `lensctl view` again for a new one.");
  return answer.text();
}
