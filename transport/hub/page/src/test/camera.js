// The camera's side of pairing, for tests: it says hello to a code, accepts what
// is offered, and can be told to misbehave.

import { concat, sha256 } from "../bytes.js";
import { decodeFirst, encode } from "../cbor.js";
import { parseEnvelope, sign1 } from "../cose.js";
import { nextTranscript, parseCode } from "../pairing/code.js";
import { ABORT, ACCEPT, hear, HELLO, say } from "../pairing/message.js";
import { makeKey } from "./maker.js";

export class PairingCamera {
  /** A camera before a code. */
  static async before(text, { key = null, acquired = 1, known = null } = {}) {
    const camera = new PairingCamera();
    Object.assign(camera, { key: key ?? (await makeKey()), code: await parseCode(text), ownership: null });
    const entries = [
      [0, HELLO], [1, camera.code.keys.start], [2, camera.key.spki], [3, crypto.getRandomValues(new Uint8Array(16))], [4, 1], [5, "1.4.0"], [6, acquired],
    ];
    if (known) entries.push([7, new Map([[1, known.epoch], [2, known.hash]])]);
    camera.out = camera.hello = await say(camera.key.pair.privateKey, camera.code.keys.camera, entries);
    return camera;
  }

  /** Takes an offer and answers it with an accept. */
  async take(offer) {
    const { owner: ownerMAC, camera: cameraMAC, start } = this.code.keys;
    const says = decodeFirst((await hear(ownerMAC, offer)).payload).value;
    const signed = says.get(2);
    const { payload } = parseEnvelope(signed, signed.length);
    const acceptance = encode(new Map([
      [0, "lensward/acceptance/1"], [1, await sha256(payload)], [2, this.key.hash], [3, 1], [4, 1], [5, Date.now()], [6, "1.4.0"],
    ]));
    this.ownership = encode([signed, await sign1(this.key.pair.privateKey, acceptance)]);
    const transcript = await nextTranscript(await nextTranscript(start, this.hello), offer);
    this.out = await say(this.key.pair.privateKey, cameraMAC, [[0, ACCEPT], [1, transcript], [2, this.ownership]]);
    return this.out;
  }

  /** Gives up, for a reason. */
  async abort(reason) {
    const called = await nextTranscript(this.code.keys.start, this.hello);
    this.out = await say(this.key.pair.privateKey, this.code.keys.camera, [[0, ABORT], [1, called], [2, this.key.spki], [3, reason]]);
    return this.out;
  }
}

/** A message with one bit of it changed. */
export function flipped(message, at) {
  const out = concat(message);
  out[at < 0 ? out.length + at : at] ^= 1;
  return out;
}
