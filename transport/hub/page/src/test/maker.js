// Cameras and owners for tests: seals items and signs ownership records, as a
// camera and lensctl do.

import { Encrypter, generateHybridIdentity, identityToRecipient } from "age-encryption";
import { base32, base64url, concat, sha256, unbase32, unhex, utf8 } from "../bytes.js";
import { encode } from "../cbor.js";
import { ECDSA_P256, sign1 } from "../cose.js";
import { CHECKPOINT, CLIP, EVENT, GAP, parseItem, THUMBNAIL } from "../item.js";
import { FORMAT } from "../keys.js";

const MEDIA_TYPES = {
  [THUMBNAIL]: "image/jpeg", [CLIP]: "video/mp4", [EVENT]: "application/vnd.lensward.event+json",
  [CHECKPOINT]: "application/vnd.lensward.checkpoint+json", [GAP]: "application/vnd.lensward.gap+json",
};

export async function makeKey() {
  const pair = await crypto.subtle.generateKey(ECDSA_P256, true, ["sign", "verify"]);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey));
  const hash = await sha256(spki);
  return { pair, spki, hash, id: base32(hash), pkcs8: new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.privateKey)) };
}

export async function makeOwner() {
  const root = await makeKey();
  const viewer = await makeKey();
  const identity = await generateHybridIdentity();
  const file = JSON.stringify({
    format: FORMAT, owner: root.id, owner_key: base64url(root.spki), viewer_key: base64url(viewer.pkcs8), household_identities: [identity],
  });
  return { root, viewer, identity, recipient: await identityToRecipient(identity), file, id: root.id };
}

/** Signs an ownership record and its acceptance; changes replaces fields of the record. */
export async function own(owner, device, { epoch = 1, revision = 1, previous = null, changes = new Map(), signer = owner.root, accepter = device } = {}) {
  const record = new Map([
    [0, "lensward/ownership/1"], [1, device.hash], [2, device.spki], [3, owner.root.hash], [4, owner.root.spki],
    [5, epoch], [6, revision], [8, 1], [9, 1_770_000_000_000],
    [10, [new Map([[1, 1], [2, owner.recipient]])]], [11, [new Map([[1, owner.viewer.spki], [2, "browser"], [3, 1]])]],
  ]);
  if (previous) record.set(7, unhex(previous));
  for (const [k, v] of changes) v === undefined ? record.delete(k) : record.set(k, v);
  const payload = encode(record);
  const hash = await sha256(payload);
  const acceptance = encode(new Map([[0, "lensward/acceptance/1"], [1, hash], [2, device.hash], [3, 1], [4, 1], [5, 1_770_000_000_001], [6, "1.0.0"]]));
  const bytes = encode([await sign1(signer.pair.privateKey, payload), await sign1(accepter.pair.privateKey, acceptance)]);
  return { bytes, hash, epoch, revision };
}

export class Camera {
  constructor(key, owner, record, { firmware = "1.4.0", chain = 1, clock = 4, protection = 1 } = {}) {
    Object.assign(this, { key, owner, record, firmware, chain, clock, protection, seq: 0, prev: record.hash });
  }

  static async paired(owner, options) {
    const key = await makeKey();
    return new Camera(key, owner, await own(owner, key), options);
  }

  /** Seals the next item of the chain. @returns {Promise<{raw: Uint8Array, item: object}>} */
  async seal(kind, plain, { event = null, part = 0, last = false, captured = Date.now(), changes = new Map(), recipient = this.owner.recipient, mediaType = MEDIA_TYPES[kind] } = {}) {
    const encrypter = new Encrypter();
    encrypter.addRecipient(recipient);
    const body = await encrypter.encrypt(plain);
    this.seq++;
    const header = new Map([
      [0, "lensward/item/1"], [1, kind], [2, this.key.spki], [3, this.key.hash], [4, this.owner.root.hash],
      [5, this.record.epoch], [6, this.record.hash], [7, this.chain], [8, this.chain], [9, this.seq], [10, this.prev],
      [14, captured], [15, this.clock], [16, mediaType], [17, this.firmware], [18, this.protection],
      [19, body.length], [20, await sha256(body)],
    ]);
    if (event) header.set(11, unhex(event));
    if (part) header.set(12, part);
    if (last) header.set(13, true);
    for (const [k, v] of changes) v === undefined ? header.delete(k) : header.set(k, v);
    const payload = encode(header);
    this.prev = await sha256(payload);
    const raw = concat(await sign1(this.key.pair.privateKey, payload), body);
    return { raw, item: await parseItem(raw) };
  }

  sealJSON(kind, value, options) {
    return this.seal(kind, utf8(JSON.stringify(value)), options);
  }

  checkpoint({ depth = 0, aside = 0, dropped = 0, ...options } = {}) {
    return this.sealJSON(CHECKPOINT, { cause: "periodic", depth, bytes: 0, dropped, aside, uptime: 60 }, options);
  }
}

export function eventID() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

export { base32, unbase32 };
