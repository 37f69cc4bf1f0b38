// The household as the hub hands it out: the chain of statements that verify and
// follow one another, and the periods' identities that this browser's keys open.
// Identities whose retention has passed are dropped.

import { APIError } from "./api.js";
import { checkFollows, keptIdentities, openKeys, verifyStatement } from "./household.js";
import { Refusal } from "./reasons.js";

const MOST = 4096;

export class Home {
  /** @type {import("./household.js").Statement[]} oldest first; of all but the newest without keys */
  chain = [];
  /** What was wrong with what the hub gave: {reason, detail}, or null. */
  trouble = null;
  /** Whether these keys open the current period. */
  isOpen = false;
  /** Whether the last refresh took or dropped an identity: where keys are kept, they have to be kept anew. */
  hasMoved = false;

  #keys;
  #api;
  #opened = "";

  /** @param {{keys: import("./keys.js").Keys, api: import("./api.js").Client}} options */
  constructor({ keys, api }) {
    this.#keys = keys;
    this.#api = api;
  }

  /** @returns {import("./household.js").Statement|null} */
  get newest() {
    return this.chain.at(-1) ?? null;
  }

  /**
   * Fetches what is new.
   * @param {{serial: number, hash: string}|null} known the newest statement of earlier visits
   * @returns {Promise<{given: boolean, newest: {serial: number, hash: string}|null, fork: object|null}|null>}
   *   given says whether the newest that is known was in the answer; null where the hub
   *   has no households
   */
  async refresh(known, signal) {
    this.trouble = null;
    const out = { newest: null, fork: null };
    let after = Math.max((this.newest?.serial ?? 0) - 1, 0);
    try {
      for (;;) {
        const raw = await this.#api.household(after, signal);
        if (raw.length === 0) break;
        for (const bytes of raw) {
          const statement = await verifyStatement(bytes, this.#keys.owner);
          if (statement.serial <= after || statement.serial > MOST) throw new APIError(200, "the household's statements are out of order");
          after = statement.serial;
          out.newest = { serial: statement.serial, hash: statement.hash };
          this.#take(statement, known);
        }
      }
    } catch (err) {
      if (err instanceof APIError && err.status === 404) return null;
      if (!(err instanceof Refusal)) throw err;
      this.trouble = { reason: err.reason, detail: err.detail };
      if (err.statement) out.fork = err.statement;
    }
    await this.#open();
    return out;
  }

  #take(statement, known) {
    const before = this.newest;
    try {
      if (known?.serial === statement.serial && known.hash !== statement.hash) throw new Refusal("fork", `another statement ${statement.serial} than was given before`);
      if (before?.hash === statement.hash) return;
      if (before) checkFollows(statement, before);
    } catch (err) {
      if (err.reason === "fork") err.statement = statement;
      throw err;
    }
    if (before) before.keys = null;
    this.chain.push(statement);
  }

  /** Takes the identities of periods that came, and drops those whose time is over. */
  async #open() {
    const { newest } = this;
    const before = this.#keys.identities.join();
    this.hasMoved = false;
    if (newest === null) return;
    if (this.#opened !== newest.hash && this.#keys.memberIdentities.length > 0) {
      try {
        const came = await openKeys(newest, this.#keys.memberIdentities);
        this.#keys.identities.splice(0, Infinity, ...new Set([...this.#keys.identities, ...came]));
        this.#opened = newest.hash;
      } catch (err) {
        if (!(err instanceof Refusal)) throw err;
        if (err.reason !== "locked") this.trouble = { reason: err.reason, detail: err.detail };
      }
    }
    const kept = await keptIdentities(newest, this.#keys.identities, Date.now());
    this.#keys.identities.splice(0, Infinity, ...kept);
    this.hasMoved = this.#keys.identities.join() !== before;
    this.isOpen = (await keptIdentities({ ...newest, periods: newest.periods.slice(-1) }, kept, Date.now())).length > 0;
  }
}
