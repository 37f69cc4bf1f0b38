// Runs the owner's side of one pairing by a hub's mailbox until it is over: sends
// its newest message again and again, takes the camera's, and says what changed.
// It shows nothing.

import { APIError } from "../api.js";
import { hex, sha256 } from "../bytes.js";
import { backoff, sleep } from "../jobs.js";
import { Refusal } from "../reasons.js";
import { MAX_MESSAGE } from "./message.js";

/** Times in milliseconds; tests shorten them. */
export const TIMING = {
  again: 4_000, // a message is sent again
  after: 60_000, // for so long after the end
  trouble: { first: 500, most: 10_000 },
  wait: 20, // seconds of a long poll
  tick: 500,
};

export class PairingSession extends EventTarget {
  /** What keeps it from going on right now, for a person; "" for nothing. */
  trouble = "";
  /** How many messages were not taken, and why the last was not. */
  refused = { count: 0, reason: "" };

  #pairing;
  #api;
  #timing;
  #signal;
  #moved = withResolvers();

  /** @param {{pairing: import("./owner.js").OwnerPairing, api: import("../api.js").Client, timing?: object}} options */
  constructor({ pairing, api, timing = TIMING }) {
    super();
    this.#pairing = pairing;
    this.#api = api;
    this.#timing = timing;
  }

  /** @returns {import("./owner.js").Memory} */
  get memory() {
    return this.#pairing.memory;
  }

  get isOver() {
    return this.#pairing.phase === "done" || this.#pairing.phase === "failed";
  }

  /** Runs until a minute after the pairing is over, or signal ends it. */
  async run(signal) {
    const over = new AbortController();
    this.#signal = AbortSignal.any([signal, over.signal]);
    const until = async (loop) => {
      try {
        await loop();
      } catch (err) {
        if (!this.#signal.aborted) throw err;
      } finally {
        over.abort(); // one that stops takes the others with it
      }
    };
    await Promise.all([until(() => this.#send()), until(() => this.#receive()), until(() => this.#watch())]);
  }

  #changed() {
    this.#moved.resolve();
    this.#moved = withResolvers();
    this.dispatchEvent(new Event("change"));
  }

  async #send() {
    for (let failures = 0; ; ) {
      const { out, rendezvous } = this.memory;
      const moved = this.#moved.promise;
      let wait = this.#timing.again;
      try {
        if (out !== null) await this.#api.putPairing(rendezvous, out, this.#signal);
        if (failures > 0) this.#say("");
        failures = 0;
      } catch (err) {
        wait = this.#after(err, failures++);
      }
      await Promise.race([sleep(wait, this.#signal), moved]);
    }
  }

  async #receive() {
    let not = "";
    for (let failures = 0; ; ) {
      try {
        const began = Date.now();
        const message = await this.#api.getPairing(this.memory.rendezvous, {
          not, wait: this.#timing.wait, limit: MAX_MESSAGE, signal: this.#signal,
        });
        if (failures > 0) this.#say("");
        failures = 0;
        if (message !== null) {
          await this.#take(message);
          not = hex(await sha256(message));
        }
        // A hub that does not wait is not asked without a pause.
        if (Date.now() - began < this.#timing.tick) await sleep(this.#timing.tick, this.#signal);
      } catch (err) {
        await sleep(this.#after(err, failures++), this.#signal);
      }
    }
  }

  async #take(message) {
    try {
      await this.#pairing.receive(message);
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
      const isNews = err.reason === "rival" || err.reason === "second-hello" || this.#pairing.phase === "failed";
      if (!isNews) this.refused = { count: this.refused.count + 1, reason: err.reason };
    }
    this.#changed();
  }

  /** Lets a code expire, and ends all a minute after the pairing. */
  async #watch() {
    let overSince = null;
    for (;;) {
      if (!this.isOver) await this.#tick();
      if (this.isOver) overSince ??= Date.now();
      if (overSince !== null && Date.now() - overSince >= this.#timing.after) return;
      await sleep(this.#timing.tick, this.#signal);
    }
  }

  async #tick() {
    try {
      await this.#pairing.tick();
    } catch (err) {
      if (err instanceof Refusal) this.#changed();
      else this.#after(err, 0);
    }
  }

  /** Ends a pairing to which no camera has come. */
  async cancel() {
    try {
      await this.#pairing.cancel();
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
    }
    this.#changed();
  }

  /** Takes an ownership that the hub handed out, if it is this pairing's. */
  async learn(bytes) {
    try {
      await this.#pairing.learn(bytes);
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
    }
    this.#changed();
  }

  /** How long to wait after a failure, which is said. */
  #after(err, failures) {
    this.#signal.throwIfAborted();
    if (err instanceof APIError) this.#say(`The hub cannot be reached: ${err.message}. Trying again by itself.`);
    else this.#say(`This browser could not keep how far the pairing has come (${err.message}). Trying again by itself.`);
    return backoff(failures, this.#timing.trouble);
  }

  #say(trouble) {
    if (this.trouble === trouble) return;
    this.trouble = trouble;
    this.#changed();
  }
}

function withResolvers() {
  const out = {};
  out.promise = new Promise((resolve) => { out.resolve = resolve; });
  return out;
}
