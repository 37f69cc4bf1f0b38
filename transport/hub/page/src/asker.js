// Asks the hub by name for what is missing from the chains.

import { APIError } from "./api.js";
import { backoff } from "./jobs.js";
import { TRIES } from "./opener.js";
import { Refusal } from "./reasons.js";

const AT_ONCE = 100;

export class Asker {
  #o;
  #asked = new Map();
  #confirms = 0;

  /**
   * @param {object} o
   * @param {import("./audit.js").Audit} o.audit
   * @param {import("./jobs.js").Jobs} o.jobs
   * @param {import("./opener.js").Opener} o.opener
   * @param {number} o.urgency
   * @param {{retry: object, missing: object}} o.timing
   * @param {(item: object) => void} o.accept takes an item that was given, or refuses it
   * @param {(refusal: Refusal, item: object|null, asked: string) => void} o.withhold
   * @param {(err: Error) => number|null} o.trouble how long to wait after a request failed
   * @param {(isGiven: boolean) => void} o.changed told after each answer
   */
  constructor(o) {
    this.#o = o;
  }

  /** Asks for the newest of what is missing and was not explained. */
  askAll() {
    let budget = AT_ONCE;
    for (const run of this.#o.audit.missing().reverse()) {
      if (run.dropped) continue;
      for (let seq = run.to; seq >= run.from && budget > 0; seq--, budget--) this.#ask({ ...run, seq });
    }
  }

  #ask({ device, epoch, chain, seq }) {
    const { audit, jobs, opener, urgency, timing, accept, withhold, trouble, changed } = this.#o;
    const place = { device, epoch, chain, seq };
    const ref = `${device}/${epoch}/${chain}/${seq}`;
    const asked = this.#asked.get(ref) ?? { tries: 0, round: 0 };
    if (asked.round > 0) return;
    this.#asked.set(ref, asked);
    jobs.add(`ask ${ref}`, urgency, async () => {
      if (audit.has(place)) return null;
      let waits = timing.retry;
      try {
        const item = await opener.fetch(place);
        if (item !== null) {
          if (!audit.has(place)) accept(item);
          changed(true);
          return null;
        }
      } catch (err) {
        if (err instanceof Refusal) {
          withhold(err, null, ref);
          return null;
        }
        if (!(err instanceof APIError) || err.status !== 404) return trouble(err);
        waits = timing.missing;
        asked.tries++;
      }
      asked.round++;
      changed(false);
      return asked.round < TRIES ? backoff(asked.round, waits) : null;
    }, backoff(0, timing.missing));
  }

  /** Asks for one item, after a time. @returns {Promise<"given"|"denied"|"trouble">} trouble is the hub's */
  askOnce(place, ms) {
    const { audit, jobs, opener, urgency, accept, withhold } = this.#o;
    return new Promise((resolve) => {
      jobs.add(`confirm ${++this.#confirms}`, urgency, async () => {
        let item = null;
        try {
          const isHere = audit.has(place);
          if (!isHere) item = await opener.fetch(place);
          if (item !== null && !audit.has(place)) accept(item);
          resolve(isHere || item !== null ? "given" : "denied");
        } catch (err) {
          if (err instanceof Refusal) withhold(err, item, "");
          resolve(err instanceof Refusal ? "given" : err.status === 404 ? "denied" : "trouble");
        }
        return null;
      }, ms);
    });
  }

  /** Notes that an item came. */
  came(ref) {
    this.#asked.delete(ref);
  }

  /** Has everything asked for again: the camera is there, and what is missing may have come. */
  again() {
    for (const asked of this.#asked.values()) asked.round = 0;
  }

  /** How often a place was asked for in vain; all too often where only other things came. */
  triesFor(ref) {
    const { tries = 0, round = 0 } = this.#asked.get(ref) ?? {};
    return round >= TRIES ? TRIES : tries;
  }
}
