// The owner's side of one pairing, as docs/ref/pairing.md has it: messages in,
// messages out, and a memory that its user keeps. Each new memory is kept before
// the message that follows from it can be had. It sends nothing itself.

import { base32, equal, hex, sha256, unhex } from "../bytes.js";
import { parseOwnership, signRecord, verifyOwnership } from "../ownership.js";
import { Refusal, refuse } from "../reasons.js";
import { nextTranscript } from "./code.js";
import { ABORT, ACCEPT, checkAbort, DONE, follows, hear, HELLO, helloTerms, OFFER, readMessage, say, signedBy } from "./message.js";

const MAX_REFUSED = 100;

/**
 * What pairing needs of an owner.
 * @typedef {object} OwnerKeys
 * @property {string} owner the owner's ID
 * @property {Uint8Array} ownerKey the root key's SubjectPublicKeyInfo
 * @property {CryptoKey} rootKey
 * @property {(device: string) => {epoch: number, hash: string}|null} newest the
 *   newest record that this owner has seen of a device
 * @property {() => Promise<{recipients: object[], viewers: object[]}>} audience whom
 *   the camera encrypts to and who may look
 */

/**
 * @typedef {object} Memory a side's whole state; replaced, never changed in place
 * @property {"begun"|"agreed"|"done"|"failed"} phase
 * @property {string} owner
 * @property {string} text the code, while it may be used
 * @property {number} expires seconds since 1970
 * @property {string} rendezvous
 * @property {Uint8Array} start T0
 * @property {Uint8Array|null} called T1
 * @property {Uint8Array} transcript
 * @property {Uint8Array|null} cameraKey
 * @property {Uint8Array|null} ownerMAC
 * @property {Uint8Array|null} out the message to send
 * @property {string[]} taken hashes of the messages that were taken
 * @property {object|null} hello what the device that was taken said
 * @property {string} device its ID, or ""
 * @property {string} recordHash of the record that was offered, or ""
 * @property {Uint8Array|null} ownership what came of it
 * @property {string} rival another device that has the code too, or ""
 * @property {boolean} again whether the device began again with the code
 * @property {string} reason why it failed, or ""
 * @property {boolean} theirs whether the other side said so
 */

export class OwnerPairing {
  #m;
  #keys;
  #save;
  #refused = 0;
  #turn = Promise.resolve();

  /** Goes on from a memory. @param {Memory} memory @param {OwnerKeys} keys @param {(memory: Memory) => Promise<void>} save */
  constructor(memory, keys, save) {
    this.#m = memory;
    this.#keys = keys;
    this.#save = save;
  }

  /** Begins a pairing with a code that the owner made. */
  static async begin(code, keys, save) {
    if (code.owner !== keys.owner) throw new Error("the code is another owner's");
    const pairing = new OwnerPairing(null, keys, save);
    await pairing.#become({
      phase: "begun", owner: code.owner, text: code.text, expires: code.expires, rendezvous: code.keys.rendezvous,
      start: code.keys.start, called: null, transcript: code.keys.start, cameraKey: code.keys.camera, ownerMAC: code.keys.owner,
      out: null, taken: [], hello: null, device: "", recordHash: "", ownership: null, rival: "", again: false, reason: "", theirs: false,
    });
    return pairing;
  }

  /** @returns {Memory} */
  get memory() {
    return this.#m;
  }

  get phase() {
    return this.#m.phase;
  }

  /** The message to send now, and again every few seconds; null for none. */
  get out() {
    return this.#m.out;
  }

  /**
   * Takes a message. A Refusal says why one is not taken; after any other error
   * (of keeping the memory) nothing has changed, and it may be given again.
   */
  receive(message, now = Date.now()) {
    return this.#inTurn(async () => {
      const hash = hex(await sha256(message));
      if (this.#m.taken.includes(hash)) return;
      try {
        await this.#receive(message, hash, now);
      } catch (err) {
        if (!(err instanceof Refusal) || this.#m.phase !== "begun") throw err;
        if (++this.#refused >= MAX_REFUSED) await this.#fail("too-many");
        throw err;
      }
    });
  }

  /** One after the other, as the browser's cryptography would let them overtake one another. */
  #inTurn(run) {
    const turn = this.#turn.then(run);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #become(memory) {
    await this.#save(memory);
    this.#m = memory;
  }

  async #receive(message, hash, now) {
    await this.#tick(now);
    if (this.#m.phase === "failed") throw refuse("over", "nothing came of it");
    const statement = await hear(this.#m.cameraKey, message);
    if (statement.label === HELLO) return this.#hello(statement, message, hash);
    if (statement.label === ACCEPT && this.#m.phase !== "begun") return this.#accept(statement, message, hash);
    if (statement.label === ABORT && this.#m.phase === "agreed") return this.#abort(statement, hash);
    throw refuse("unexpected", JSON.stringify(statement.label.slice(0, 40)));
  }

  /** Answers the first device that has the code, and notes a second. */
  async #hello(statement, message, hash) {
    const says = readMessage(statement);
    const terms = await helloTerms(says);
    follows(says.transcript, this.#m.start);
    await signedBy(statement, says.key);
    const device = base32(await sha256(says.key));
    if (this.#m.phase === "begun") return this.#offer(says, device, await this.#after(device, terms), message, hash);
    if (device === this.#m.device) {
      if (!this.#m.again) await this.#become({ ...this.#m, again: true });
      throw refuse("second-hello", `device ${device.slice(0, 8)} began again`);
    }
    if (this.#m.rival === "") await this.#become({ ...this.#m, rival: device });
    throw refuse("rival", `device ${device.slice(0, 8)} has the code too`);
  }

  /** The terms for an owner who may have seen this device before. */
  async #after(device, terms) {
    const newest = this.#keys.newest(device);
    if (newest === null) return { ...terms, epoch: terms.epoch || 1 };
    if (terms.epoch === 0) return { ...terms, epoch: newest.epoch + 1, previous: unhex(newest.hash) };
    if (newest.epoch >= terms.epoch) {
      await this.#fail("rolled-back");
      throw refuse("rolled-back", `the device knows epoch ${terms.epoch - 1}, this owner has seen ${newest.epoch}`);
    }
    return terms;
  }

  /** Makes the record and the message that carries it. */
  async #offer(says, device, terms, message, hash) {
    const { rootKey, ownerKey, owner } = this.#keys;
    const record = await signRecord(rootKey, {
      deviceKey: says.key, owner, ownerKey, epoch: terms.epoch, revision: 1, previous: terms.previous, acquired: terms.acquired,
      created: Date.now(), ...(await this.#keys.audience()),
    });
    const called = await nextTranscript(this.#m.start, message);
    const out = await say(rootKey, this.#m.ownerMAC, [[0, OFFER], [1, called], [2, record.bytes]]);
    const { firmware, protection, acquired } = says;
    await this.#become({
      ...this.#m, phase: "agreed", text: "", hello: { firmware, protection, acquired }, device, recordHash: record.hash,
      called, transcript: await nextTranscript(called, out), out, taken: [...this.#m.taken, hash],
    });
  }

  /** Ends the pairing well. */
  async #accept(statement, message, hash) {
    const says = readMessage(statement);
    follows(says.transcript, this.#m.transcript);
    const ownership = await parseOwnership(says.carried).catch(asReason("bad-record"));
    if (ownership.record.device !== this.#m.device) throw refuse("wrong-device", `accepted by device ${ownership.record.device.slice(0, 8)}`);
    await signedBy(statement, ownership.record.deviceKey);
    await this.#checkOffered(ownership);
    const transcript = await nextTranscript(this.#m.transcript, message);
    const out = await say(this.#keys.rootKey, this.#m.ownerMAC, [[0, DONE], [1, transcript]]);
    await this.#become({ ...this.#m, phase: "done", ownership: says.carried.slice(), transcript, out, taken: [...this.#m.taken, hash] });
  }

  async #checkOffered(ownership) {
    await verifyOwnership(ownership).catch(asReason("wrong-record"));
    if (ownership.hash !== this.#m.recordHash) throw refuse("wrong-record", "the record that was accepted is not the one that was offered");
  }

  /**
   * Takes an ownership that came by another way than a message, such as from the
   * hub: if it is the offer's, accepted, the pairing is done.
   */
  learn(bytes) {
    return this.#inTurn(async () => {
      if (this.#m.phase === "begun") throw refuse("unexpected", "nothing was offered yet");
      if (this.#m.phase === "failed") throw refuse("over", "nothing came of it");
      await this.#checkOffered(await parseOwnership(bytes).catch(asReason("bad-record")));
      if (this.#m.phase === "agreed") await this.#become({ ...this.#m, phase: "done", ownership: bytes.slice() });
    });
  }

  /** Takes the camera's word that it will not accept. */
  async #abort(statement, hash) {
    const says = readMessage(statement);
    checkAbort(says);
    const device = base32(await sha256(says.key));
    if (device !== this.#m.device) throw refuse("wrong-device", `aborted by device ${device.slice(0, 8)}`);
    await signedBy(statement, says.key);
    if (!equal(says.transcript, this.#m.called)) {
      if (!this.#m.again) await this.#become({ ...this.#m, again: true });
      throw refuse("second-hello", `device ${device.slice(0, 8)} began again, and gave up`);
    }
    await this.#become({ ...this.#failing(says.reason, null), taken: [...this.#m.taken, hash], theirs: true });
    throw this.failure;
  }

  /** Fails the pairing if the code has expired and no camera has come. To be called now and then. */
  tick(now = Date.now()) {
    return this.#inTurn(() => this.#tick(now));
  }

  async #tick(now) {
    if (this.#m.phase !== "begun" || Math.floor(now / 1000) < this.#m.expires) return;
    await this.#fail("expired");
    throw this.failure;
  }

  /** Ends a pairing to which no camera has come. Later it is refused: the camera may have accepted. */
  cancel() {
    return this.#inTurn(async () => {
      if (this.#m.phase !== "begun") throw refuse("unexpected", "it cannot be cancelled any more");
      await this.#fail("cancelled");
    });
  }

  /** Ends the pairing and has the camera told. */
  async #fail(reason) {
    const entries = [[0, ABORT], [1, this.#m.start], [2, this.#keys.ownerKey], [3, reason]];
    await this.#become(this.#failing(reason, await say(this.#keys.rootKey, this.#m.ownerMAC, entries)));
  }

  /** The memory after a failure: without the code and all that follows from it. */
  #failing(reason, out) {
    return { ...this.#m, phase: "failed", text: "", cameraKey: null, ownerMAC: null, called: null, out, reason };
  }

  /** Why it failed, or null. */
  get failure() {
    return this.#m.phase === "failed" ? refuse(this.#m.reason, this.#m.theirs ? "says the camera" : "") : null;
  }
}

function asReason(reason) {
  return (err) => {
    if (err instanceof Refusal) throw refuse(reason, err.message);
    throw err;
  };
}

