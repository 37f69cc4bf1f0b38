import {
  Audit,
  CLOCK_NAMES,
  ECDSA_P256,
  GAP,
  KIND_NAMES,
  OwnerPairing,
  PROTECTION_NAMES,
  base32,
  base64url,
  checkFollows,
  checkPolicy,
  decodeFirst,
  hex,
  identityToRecipient,
  nextTranscript,
  openItem,
  openKeys,
  parseCode,
  parseEnvelope,
  parseEnvelope2,
  parseGap,
  parseItem,
  parseOwnership,
  publicOf,
  reasonOf,
  refuse,
  sha256,
  unbase64url,
  verifyEnvelope,
  verifyItem,
  verifyOwnership,
  verifyStatement
} from "./lensward-shared.js";

// transport/hub/page/src/judge.js
async function judgePairing(vector) {
  const out = { word: "ok" };
  let pairing = null;
  try {
    const code = await parseCode(vector.text);
    if (!vector.step) return { ...out, code: printableCode(code) };
    pairing = await pairingAt(code, vector.step);
    await pairing.receive(unbase64url(vector.step.message), (code.expires - 60) * 1e3);
  } catch (err) {
    out.word = reasonOf(err);
    if (out.word === "") throw err;
  }
  return pairing ? { ...out, phase: pairing.phase } : out;
}
function printableCode({ owner, expires, hub, wifi, keys }) {
  return {
    owner,
    expires,
    ...hub && { hub_id: hub.id, hub_addresses: hub.addresses },
    ...wifi && { ssid: hex(wifi.ssid) },
    ...wifi?.passphrase && { passphrase: wifi.passphrase },
    ...wifi?.hidden && { hidden: true },
    transcript: base64url(keys.start),
    camera_key: base64url(keys.camera),
    owner_key: base64url(keys.owner),
    rendezvous: keys.rendezvous
  };
}
async function pairingAt(code, { private_key, said, newest }) {
  const pkcs8 = unbase64url(private_key);
  const ownerKey = await publicOf(await crypto.subtle.importKey("pkcs8", pkcs8, ECDSA_P256, true, ["sign"]));
  const known = await parseOwnership(unbase64url(newest));
  const keys = {
    owner: base32(await sha256(ownerKey)),
    ownerKey,
    rootKey: await crypto.subtle.importKey("pkcs8", pkcs8, ECDSA_P256, false, ["sign"]),
    newest: (device) => device === known.record.device ? { epoch: known.record.epoch, hash: known.hash } : null,
    audience: async () => ({ recipients: known.record.recipients, viewers: known.record.viewers })
  };
  let memory = null;
  const begun = await OwnerPairing.begin(code, keys, async (m) => {
    memory = m;
  });
  if (said.length === 0) return begun;
  return new OwnerPairing(await memoryAfter(memory, said.map(unbase64url)), keys, async () => void 0);
}
async function memoryAfter(memory, [hello, offer, accept, done]) {
  const called = await nextTranscript(memory.start, hello);
  const offered = await nextTranscript(called, offer);
  const out = {
    ...memory,
    phase: "agreed",
    text: "",
    called,
    transcript: offered,
    out: offer,
    taken: [hex(await sha256(hello))],
    device: base32(await sha256(payloadOf(hello).get(2))),
    recordHash: hex(await sha256(parseEnvelope(payloadOf(offer).get(2), offer.length).payload))
  };
  if (!accept) return out;
  return {
    ...out,
    phase: "done",
    ownership: payloadOf(accept).get(2),
    transcript: await nextTranscript(offered, accept),
    out: done,
    taken: [...out.taken, hex(await sha256(accept))]
  };
}
function payloadOf(message) {
  return decodeFirst(parseEnvelope(message, message.length).payload).value;
}
async function judgeHousehold({ kind, owner, bytes, known, identities }) {
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
      says: { hash, serial, period: periods.at(-1).number, recipient, members: members.map(({ name }) => name), periods: periods.map(({ number }) => number) }
    };
  } catch (err) {
    const word = reasonOf(err);
    if (word === "") throw err;
    return { word };
  }
}

// transport/hub/page/src/verify.js
function audit() {
  return new Audit();
}
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
    const item = vector.envelope_only ? await parseEnvelope2(raw) : await parseItem(raw);
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
    kind: KIND_NAMES[h.kind],
    device: h.device,
    owner: h.owner,
    epoch: h.epoch,
    record: h.record,
    boot: h.boot,
    chain: h.chain,
    seq: h.seq,
    prev: h.prev,
    event: h.event || "0".repeat(32),
    part: h.part,
    last: h.last,
    captured: h.captured,
    clock: CLOCK_NAMES[h.clock],
    media_type: h.mediaType,
    firmware: h.firmware,
    protection: PROTECTION_NAMES[h.protection],
    body_size: h.bodySize,
    body_hash: h.bodyHash
  };
}
function printableRun({ chain, from, to, dropped }) {
  return { chain, from, to, dropped: dropped !== null, reason: dropped?.reason ?? "" };
}
globalThis.LenswardVerify = {
  audit,
  checkPolicy,
  judgeHousehold,
  judgePairing,
  judgeVector,
  openItem,
  parseEnvelope: parseEnvelope2,
  parseItem,
  parseOwnership,
  reasonOf,
  verifyEnvelope,
  verifyItem,
  verifyOwnership
};
export {
  audit,
  checkPolicy,
  judgeHousehold,
  judgePairing,
  judgeVector,
  openItem,
  parseEnvelope2 as parseEnvelope,
  parseItem,
  parseOwnership,
  reasonOf,
  verifyEnvelope,
  verifyItem,
  verifyOwnership
};
