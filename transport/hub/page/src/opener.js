// Fetches items and opens them. The answer has to be the very item that was
// asked for: anything else is withheld, and it is asked for again.

import { APIError } from "./api.js";
import { openItem, parseItem, verifyItem } from "./item.js";
import { backoff } from "./jobs.js";
import { Refusal, refuse } from "./reasons.js";

/** How often the hub is asked again for what it answers wrongly. */
export const TRIES = 12;

export class Opener {
  /** How many different items were opened. */
  opened = 0;

  #api;
  #identities;
  #jobs;
  #retry;
  #check;
  #withhold;
  #trouble;
  #denied;
  #signal;
  #opening = new Map();

  /**
   * @param {object} options
   * @param {import("./api.js").Client} options.api
   * @param {string[]} options.identities the household's age identities
   * @param {import("./jobs.js").Jobs} options.jobs
   * @param {{first: number, most: number}} options.retry the waits between tries
   * @param {(header: object) => Promise<void>} options.check the viewer's policy
   * @param {(refusal: Refusal, item: object|null, asked: string) => void} options.withhold
   * @param {(err: Error) => number|null} options.trouble how long to wait after a
   *   request failed, null where trying again is in vain
   * @param {(stub: import("./timeline.js").Stub) => void} options.denied told when the
   *   hub says again and again that an item is not there
   * @param {AbortSignal} options.signal
   */
  constructor({ api, identities, jobs, retry, check, withhold, trouble, denied, signal }) {
    this.#api = api;
    this.#identities = identities;
    this.#jobs = jobs;
    this.#retry = retry;
    this.#check = check;
    this.#withhold = withhold;
    this.#trouble = trouble;
    this.#denied = denied;
    this.#signal = signal;
    signal.addEventListener("abort", () => {
      for (const { reject } of this.#opening.values()) reject(signal.reason);
    }, { once: true });
  }

  /**
   * Fetches, verifies and decrypts an item that was taken.
   * @param {import("./timeline.js").Stub} stub
   * @param {{urgency?: number, isStale?: () => boolean}} [options] larger urgency
   *   goes first; isStale says, when its turn comes, that it is not wanted any more
   * @returns {Promise<{header: object, bytes: Uint8Array, item: object}>} item is as it came
   */
  open(stub, { urgency = stub.header.captured, isStale = () => false } = {}) {
    let opening = this.#opening.get(stub.hash);
    if (!opening) {
      opening = withResolvers();
      this.#opening.set(stub.hash, opening);
      opening.promise.catch(() => undefined).finally(() => this.#opening.delete(stub.hash));
      this.#openByJob(stub, urgency, isStale, opening);
    }
    return opening.promise;
  }

  #openByJob(stub, urgency, isStale, { resolve, reject }) {
    let tries = 0;
    let isDenied = false;
    this.#jobs.add(`open ${stub.hash}`, urgency, async () => {
      if (isStale()) return over(reject, new APIError(0, "a newer one has come"));
      try {
        const item = await this.fetch(stub.header, stub.hash);
        if (item !== null) return over(resolve, { header: item.header, bytes: await this.#decrypt(item, stub), item });
        isDenied = false;
      } catch (err) {
        if (err instanceof Refusal) return over(reject, err);
        if (err.status !== 404) return this.#trouble(err) ?? over(reject, err);
        isDenied = true;
      }
      if (++tries < TRIES) return backoff(tries, this.#retry);
      if (isDenied && stub.row > 0) this.#denied(stub);
      return over(reject, new APIError(404, "the hub does not hand it out"));
    });
  }

  async #decrypt(item, stub) {
    try {
      const bytes = await openItem(item, this.#identities);
      if (!stub.wasOpened) this.opened++;
      stub.wasOpened = true;
      return bytes;
    } catch (err) {
      if (err instanceof Refusal) this.#withhold(err, item, stub.ref);
      throw err;
    }
  }

  /** Fetches the item of a place, of that hash where one is given; null when something else came. */
  async fetch({ device, epoch, chain, seq }, hash = null) {
    const ref = `${device}/${epoch}/${chain}/${seq}`;
    const raw = await this.#api.item({ device, epoch, chain, seq }, this.#signal);
    let item = null;
    let isVerified = false;
    try {
      item = await parseItem(raw);
      await verifyItem(item);
      isVerified = true;
      if (item.ref !== ref || (hash !== null && item.hash !== hash)) throw refuse("not-asked-for", `it is ${item.ref}`);
      await this.#check(item.header);
      return item;
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
      this.#withhold(err, isVerified ? item : null, ref);
      return null;
    }
  }
}

function over(settle, value) {
  settle(value);
  return null;
}

function withResolvers() {
  const out = {};
  out.promise = new Promise((resolve, reject) => Object.assign(out, { resolve, reject }));
  return out;
}
