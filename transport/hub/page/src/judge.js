// Judges the test vectors of pairing and of the household as the page would.

import { identityToRecipient } from "age-encryption";
import { base32, base64url, hex, sha256, unbase64url } from "./bytes.js";
import { decodeFirst } from "./cbor.js";
import { ECDSA_P256, parseEnvelope } from "./cose.js";
import { publicOf } from "./keys.js";
import { checkFollows, openKeys, verifyStatement } from "./household.js";
import { parseOwnership } from "./ownership.js";
import { nextTranscript, parseCode } from "./pairing/code.js";
import { OwnerPairing } from "./pairing/owner.js";
import { reasonOf } from "./reasons.js";

/**
 * Judges a vector of pairing (transport/pairing/testdata/vectors).
 * @param {object} vector the parsed file, of a code or of a message to the owner
 * @returns {Promise<{word: string, code?: object, phase?: string}>} word is "ok" or the reason
 */
export async function judgePairing(vector) {
  const out = { word: "ok" };
  let pairing = null;
  try {
    const code = await parseCode(vector.text);
    if (!vector.step) return { ...out, code: printableCode(code) };
    pairing = await pairingAt(code, vector.step);
    await pairing.receive(unbase64url(vector.step.message), (code.expires - 60) * 1000);
  } catch (err) {
    out.word = reasonOf(err);
    if (out.word === "") throw err;
  }
  return pairing ? { ...out, phase: pairing.phase } : out;
}

function printableCode({ owner, expires, hub, wifi, keys }) {
  return {
    owner, expires, ...(hub && { hub_id: hub.id, hub_addresses: hub.addresses }),
    ...(wifi && { ssid: hex(wifi.ssid) }), ...(wifi?.passphrase && { passphrase: wifi.passphrase }), ...(wifi?.hidden && { hidden: true }),
    transcript: base64url(keys.start), camera_key: base64url(keys.camera), owner_key: base64url(keys.owner), rendezvous: keys.rendezvous,
  };
}

/** The owner's side as it is after the messages that were said. */
async function pairingAt(code, { private_key, said, newest }) {
  const pkcs8 = unbase64url(private_key);
  const ownerKey = await publicOf(await crypto.subtle.importKey("pkcs8", pkcs8, ECDSA_P256, true, ["sign"]));
  const known = await parseOwnership(unbase64url(newest));
  const keys = {
    owner: base32(await sha256(ownerKey)), ownerKey, rootKey: await crypto.subtle.importKey("pkcs8", pkcs8, ECDSA_P256, false, ["sign"]),
    newest: (device) => (device === known.record.device ? { epoch: known.record.epoch, hash: known.hash } : null),
    audience: async () => ({ recipients: known.record.recipients, viewers: known.record.viewers }),
  };
  let memory = null;
  const begun = await OwnerPairing.begin(code, keys, async (m) => { memory = m; });
  if (said.length === 0) return begun;
  return new OwnerPairing(await memoryAfter(memory, said.map(unbase64url)), keys, async () => undefined);
}

async function memoryAfter(memory, [hello, offer, accept, done]) {
  const called = await nextTranscript(memory.start, hello);
  const offered = await nextTranscript(called, offer);
  const out = {
    ...memory, phase: "agreed", text: "", called, transcript: offered, out: offer, taken: [hex(await sha256(hello))],
    device: base32(await sha256(payloadOf(hello).get(2))), recordHash: hex(await sha256(parseEnvelope(payloadOf(offer).get(2), offer.length).payload)),
  };
  if (!accept) return out;
  return {
    ...out, phase: "done", ownership: payloadOf(accept).get(2), transcript: await nextTranscript(offered, accept), out: done,
    taken: [...out.taken, hex(await sha256(accept))],
  };
}

function payloadOf(message) {
  return decodeFirst(parseEnvelope(message, message.length).payload).value;
}

/**
 * Judges a vector of the household (transport/household/testdata/vectors): of the
 * kinds "statement", "succession" and "keys".
 * @returns {Promise<{word: string, says?: object}>}
 */
export async function judgeHousehold({ kind, owner, bytes, known, identities }) {
  try {
    const statement = await verifyStatement(unbase64url(bytes), owner);
    if (kind === "succession") {
      const before = unbase64url(known);
      checkFollows(statement, await verifyStatement(before, base32(decodeFirst(parseEnvelope(before, before.length).payload).value.get(1))));
      return { word: "ok" };
    }
    if (kind === "keys") return { word: "ok", says: { recipients: await Promise.all((await openKeys(statement, identities.join("\n").trim().split("\n"))).map(identityToRecipient)) } };
    const { hash, serial, recipient, members, periods } = statement;
    return {
      word: "ok",
      says: { hash, serial, period: periods.at(-1).number, recipient, members: members.map(({ name }) => name), periods: periods.map(({ number }) => number) },
    };
  } catch (err) {
    const word = reasonOf(err);
    if (word === "") throw err;
    return { word };
  }
}
