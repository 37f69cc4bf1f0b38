// The hub's viewer API (docs/ref/hub-protocol.md). The hub is a courier: what
// it answers is bounded here in size and time, and believed nowhere.

import { base64url, unbase32, unbase64url } from "./bytes.js";
import { encode } from "./cbor.js";
import { sign1 } from "./cose.js";

export const MAX_ITEM_SIZE = 4 * 1024 * 1024 + 8 * 1024;
const MAX_JSON_SIZE = 8 * 1024 * 1024;
const MAX_LIST = 4096;
const MAX_TIMELINE_WAIT = 25;
const MAX_ADDRESSES = 4;
const MAX_STATEMENTS = 50;
const TIMEOUT_MS = 30_000;
const SIGN_IN_LABEL = "lensward/signin/1";

export class APIError extends Error {
  constructor(status, message, hint = "") {
    super(message);
    this.name = "APIError";
    /** HTTP status, or 0 when there was no answer at all. */
    this.status = status;
    this.hint = hint;
  }
}

export class Client {
  #fetch;
  #base;
  #keys;
  #token = null;
  #signingIn = null;

  /**
   * @param {import("./keys.js").Keys} keys
   * @param {{base?: string, fetch?: typeof fetch}} [options]
   */
  constructor(keys, { base = "", fetch = globalThis.fetch.bind(globalThis) } = {}) {
    this.#keys = keys;
    this.#base = base;
    this.#fetch = fetch;
  }

  /**
   * Who the hub says it is. Needs no session.
   * @returns {Promise<{id: string, mixup: number, servedBy: "hub"|"view", devices: string[], retention: number}>}
   *   mixup is the share of answers that a hub which was told to lie gets wrong, 0 to
   *   1; devices are the addresses at which cameras reach it; retention is how long it
   *   keeps items, in milliseconds, 0 for ever
   */
  async hub(signal) {
    const { id, mixup, served_by: servedBy, devices, retention } = await this.#json("GET", "/api/v1/hub", { signal, open: true });
    decoded(() => unbase32(id));
    return {
      id, mixup: mixup > 0 && mixup <= 1 ? mixup : 0, servedBy: servedBy === "view" ? "view" : "hub",
      devices: (Array.isArray(devices) ? devices : []).filter((a) => typeof a === "string").slice(0, MAX_ADDRESSES),
      retention: Number.isSafeInteger(retention) && retention > 0 ? retention * 1000 : 0,
    };
  }

  /** Proves the viewer key over a challenge; later calls carry the token. */
  async signIn(signal) {
    this.#signingIn ??= this.#signIn(signal).finally(() => { this.#signingIn = null; });
    return this.#signingIn;
  }

  async #signIn(signal) {
    const hub = await this.hub(signal);
    const { nonce } = await this.#json("POST", "/api/v1/challenge", { signal, open: true, body: {} });
    const payload = encode(new Map([
      [0, SIGN_IN_LABEL],
      [1, unbase32(this.#keys.owner)],
      [2, this.#keys.viewerSPKI],
      [3, decoded(() => unbase64url(nonce))],
      [4, unbase32(hub.id)],
    ]));
    const statement = base64url(await sign1(this.#keys.viewerKey, payload));
    const { token } = await this.#json("POST", "/api/v1/session", { signal, open: true, body: { statement } });
    if (typeof token !== "string" || token === "") throw new APIError(200, "the hub's session has no token");
    this.#token = token;
  }

  /** The owner's ownership records: bytes, one for each camera and revision. */
  async records(signal) {
    const { records } = await this.#json("GET", "/api/v1/records", { signal });
    return list(records).slice(0, MAX_LIST).map((text) => decoded(() => unbase64url(text)));
  }

  /** The hub's word on who is connected: {id, online, seen}, seen in seconds since 1970. */
  async devices(signal) {
    const { devices } = await this.#json("GET", "/api/v1/devices", { signal });
    return list(devices).slice(0, MAX_LIST).map((d) => ({ id: String(d?.id), online: d?.online === true, seen: number(d?.seen ?? 0) }));
  }

  /**
   * Rows after a cursor; waits up to `wait` seconds when there are none.
   * @returns {Promise<{rows: {cursor: number, envelope: Uint8Array|null}[], next: number}>}
   *   envelope is null where the hub's text is no base64url.
   */
  async timeline({ after = 0, limit = 200, wait = 0, signal } = {}) {
    const query = new URLSearchParams({ after, limit, wait: Math.min(wait, MAX_TIMELINE_WAIT) });
    const { items, next } = await this.#json("GET", `/api/v1/timeline?${query}`, { signal, extra: wait * 1000 });
    const rows = list(items).slice(0, limit).map((row) => ({ cursor: number(row?.cursor), envelope: envelopeOf(row) }));
    return { rows, next: number(next) };
  }

  /** The bytes that the hub answers for a ref with; they may be anything. */
  async item({ device, epoch, chain, seq }, signal) {
    const path = `/api/v1/items/${device}/${epoch}/${chain}/${seq}`;
    return this.#call("GET", path, { signal, limit: MAX_ITEM_SIZE });
  }

  /** Hands a header that should not have come here back to the hub's operator. */
  async report(envelope, reason, signal) {
    await this.#call("POST", "/api/v1/reports", { signal, limit: 4096, body: { envelope: base64url(envelope), reason } });
  }

  /** The household's statements with a serial greater than `after`, in order: bytes. */
  async household(after, signal) {
    const { statements } = await this.#json("GET", `/api/v1/household?after=${after}`, { signal });
    return list(statements).slice(0, MAX_STATEMENTS).map((text) => decoded(() => unbase64url(text)));
  }

  /** Leaves a signed word for a camera with the hub: a release, or the next revision of its record. */
  async leaveLetter(device, letter, signal) {
    await this.#call("POST", `/api/v1/devices/${device}/letters`, { signal, limit: 4096, body: letter });
  }

  /** Leaves this side's newest message of a pairing at its rendezvous. Needs no session. */
  async putPairing(rendezvous, message, signal) {
    await this.#call("PUT", `/api/v1/pair/${rendezvous}/owner`, { signal, limit: 4096, open: true, body: message });
  }

  /**
   * The camera's newest message at a rendezvous, if it is another than the one with
   * the hash; waits up to `wait` seconds for one. Needs no session.
   * @returns {Promise<Uint8Array|null>}
   */
  async getPairing(rendezvous, { not = "", wait = 0, limit, signal } = {}) {
    const query = new URLSearchParams({ wait: Math.min(wait, MAX_TIMELINE_WAIT) });
    if (not) query.set("not", not);
    const bytes = await this.#call("GET", `/api/v1/pair/${rendezvous}/camera?${query}`, { signal, limit, open: true, extra: wait * 1000 });
    return bytes.length > 0 ? bytes : null;
  }

  async #json(method, path, options) {
    const bytes = await this.#call(method, path, { limit: MAX_JSON_SIZE, ...options });
    let value;
    try {
      value = JSON.parse(new TextDecoder().decode(bytes));
    } catch {
      throw new APIError(200, "the hub's answer is not JSON");
    }
    if (value === null || typeof value !== "object") throw new APIError(200, "the hub's answer is no object");
    return value;
  }

  async #call(method, path, { signal, body, limit, open = false, extra = 0 }) {
    if (!open && this.#token === null) await this.signIn(signal);
    let response = await this.#send(method, path, { signal, body, open, extra });
    if (response.status === 401 && !open) {
      this.#token = null;
      await this.signIn(signal);
      response = await this.#send(method, path, { signal, body, open, extra });
    }
    const bytes = await readAtMost(response, response.ok ? limit : 64 * 1024);
    if (!response.ok) throw refusal(response.status, bytes);
    return bytes;
  }

  async #send(method, path, { signal, body, open, extra }) {
    const headers = {};
    if (!open) headers.Authorization = `Bearer ${this.#token}`;
    const isBytes = body instanceof Uint8Array;
    if (body !== undefined) headers["Content-Type"] = isBytes ? "application/octet-stream" : "application/json";
    const timeout = AbortSignal.timeout(TIMEOUT_MS + extra);
    try {
      return await this.#fetch(this.#base + path, {
        method,
        headers,
        body: body === undefined || isBytes ? body : JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        referrerPolicy: "no-referrer",
      });
    } catch (err) {
      signal?.throwIfAborted();
      throw new APIError(0, `the hub does not answer (${err.message})`);
    }
  }
}

async function readAtMost(response, limit) {
  const chunks = [];
  let size = 0;
  const reader = response.body?.getReader();
  while (reader) {
    const { done, value } = await reader.read().catch((err) => {
      throw new APIError(0, `the hub's answer broke off (${err.message})`);
    });
    if (done) break;
    size += value.length;
    if (size > limit) {
      await reader.cancel().catch(() => undefined);
      throw new APIError(response.status, `the hub's answer is larger than ${limit} bytes`);
    }
    chunks.push(value);
  }
  const out = new Uint8Array(size);
  let at = 0;
  for (const c of chunks) {
    out.set(c, at);
    at += c.length;
  }
  return out;
}

function refusal(status, bytes) {
  try {
    const { error, hint } = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof error === "string") return new APIError(status, error, typeof hint === "string" ? hint : "");
  } catch {
    // Not the API's own refusal: say the status alone.
  }
  return new APIError(status, `the hub answered ${status}`);
}

function list(value) {
  if (!Array.isArray(value)) throw new APIError(200, "the hub's answer has no list where one belongs");
  return value;
}

function number(value) {
  if (!Number.isSafeInteger(value) || value < 0) throw new APIError(200, "the hub's answer has no number where one belongs");
  return value;
}

function decoded(decode) {
  try {
    return decode();
  } catch (err) {
    throw new APIError(200, `the hub's answer is not what it should be: ${err.message}`);
  }
}

function envelopeOf({ envelope }) {
  try {
    return unbase64url(envelope);
  } catch {
    return null;
  }
}
