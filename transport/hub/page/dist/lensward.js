import {
  Audit,
  BodyError,
  CHECKPOINT,
  CLIP,
  CLOCK_FLOOR,
  CLOCK_NETWORK,
  CLOCK_UNSET,
  CODE_LIFE,
  EVENT,
  GAP,
  KeysError,
  MAX_FILE_SIZE,
  MAX_MESSAGE,
  OwnerPairing,
  Refusal,
  THUMBNAIL,
  audienceOf,
  base64url,
  checkFollows,
  checkPolicy,
  concat,
  encode,
  hex,
  historyOf,
  isHostPort,
  isPassphrase,
  keptIdentities,
  makeCode,
  makeKeys,
  openItem,
  openKeys,
  parseCheckpoint,
  parseEnvelope2 as parseEnvelope,
  parseEvent,
  parseGap,
  parseItem,
  parseJSON,
  parseKeys,
  parseOwnership,
  refuse,
  sha256,
  sign1,
  signRelease,
  takeKeysByToken,
  takeKeysFromAddress,
  unbase32,
  unbase64url,
  utf8,
  verifyEnvelope,
  verifyItem,
  verifyOwnership,
  verifyStatement
} from "./lensward-shared.js";

// transport/hub/page/src/findings.js
var MAX_FINDINGS = 1e3;
var Findings = class {
  /** @type {Finding[]} the newest first */
  list = [];
  #told = /* @__PURE__ */ new Set();
  #forked = /* @__PURE__ */ new Set();
  #changed;
  /** @param {(finding: Finding) => void} changed told of each new one */
  constructor(changed) {
    this.#changed = changed;
  }
  /** Takes findings of earlier visits, which are not told again. */
  recall(findings) {
    for (const finding of findings) {
      this.#told.add(keyOf(finding));
      this.list.push(finding);
    }
    this.list.sort((a, b) => b.at - a.at);
  }
  /** Tells a finding, unless it was told before. Of a fork one is told for each chain. */
  tell({ name, at, device = "", epoch = 0, chain = 0, from = 0, to = from, detail, proof = [] }) {
    const kept = proof.filter(({ bytes }) => bytes?.length > 0).map(({ what, bytes }) => ({ what, bytes: bytes.slice() }));
    const finding = { name, at, device, epoch, chain, from, to, detail, proof: kept };
    const key = keyOf(finding);
    const place = `${device}/${epoch}/${chain}`;
    if (this.#told.has(key) || this.list.length >= MAX_FINDINGS || name === "fork" && this.#forked.has(place)) return;
    this.#told.add(key);
    if (name === "fork") this.#forked.add(place);
    this.list.unshift(finding);
    this.#changed(finding);
  }
};
function keyOf({ name, device, epoch, chain, from, to, proof }) {
  return [name, device, epoch, chain, from, to, ...proof.map(({ what, bytes }) => `${what} ${base64url(bytes)}`)].join("/");
}
function swapped(asked, got) {
  const wanted = asked?.kind === THUMBNAIL;
  const came = got.kind === THUMBNAIL;
  return wanted !== came || wanted && asked.event !== got.event ? "swapped-thumbnail" : "swapped-events";
}
async function findingFile(finding) {
  const { name, at, device, epoch, chain, from, to, detail, proof } = finding;
  const parts = [utf8(`lensward/finding/1
${name}
${device}
${epoch}
${chain}
${from}
${to}
`)];
  for (const { what, bytes } of proof) parts.push(utf8(`${what} ${bytes.length}
`), bytes);
  const hash = hex(await sha256(concat(...parts))).slice(0, 16);
  const text = JSON.stringify({
    lensward: "finding/1",
    name,
    at,
    ...device && { device },
    epoch,
    chain,
    from,
    to,
    detail,
    proof: proof.map(({ what, bytes }) => ({ what, bytes: base64url(bytes) }))
  }, null, 1);
  return { name: `${name}-${hash}.json`, text: `${text}
` };
}

// transport/hub/page/src/keystore.js
var DATABASE = "lensward";
var STORE = "keys";
var TAB = "lensward.keys";
async function loadKeys() {
  const text = tabStorage()?.getItem(TAB);
  if (text) {
    try {
      return { keys: await parseKeys(text), kept: "tab" };
    } catch {
      tabStorage().removeItem(TAB);
    }
  }
  const keys = await inStore("readonly", (store) => store.get("owner")).catch(() => void 0);
  return keys ? { keys: { rootKey: null, memberIdentities: [], ...keys }, kept: "browser" } : null;
}
function keepInTab(text) {
  try {
    tabStorage().setItem(TAB, text);
    return true;
  } catch {
    return false;
  }
}
async function keepInBrowser(keys) {
  await inStore("readwrite", (store) => store.put(keys, "owner"));
  tabStorage()?.removeItem(TAB);
}
async function forgetKeys() {
  tabStorage()?.removeItem(TAB);
  await inStore("readwrite", (store) => store.clear()).catch(() => void 0);
}
async function loadPairing() {
  return await inStore("readonly", (store) => store.get("pairing")).catch(() => void 0) ?? null;
}
async function keepPairing(pairing) {
  await inStore("readwrite", (store) => store.put(pairing, "pairing"));
}
async function forgetPairing() {
  await inStore("readwrite", (store) => store.delete("pairing")).catch(() => void 0);
}
var MAX_FINDINGS2 = 1e3;
async function loadFindings(owner) {
  const range = IDBKeyRange.bound(`finding/${owner}/`, `finding/${owner}/~`);
  return await inStore("readonly", (store) => store.getAll(range, MAX_FINDINGS2)).catch(() => void 0) ?? [];
}
async function keepFinding(owner, finding) {
  const { name } = await findingFile(finding);
  await inStore("readwrite", (store) => store.put(finding, `finding/${owner}/${name}`));
}
function tabStorage() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null;
  }
}
async function inStore(mode, use) {
  const db = await promise(Object.assign(indexedDB.open(DATABASE, 1), {
    onupgradeneeded: (e) => e.target.result.createObjectStore(STORE)
  }));
  try {
    const transaction = db.transaction(STORE, mode, { durability: "strict" });
    const [value] = await Promise.all([promise(use(transaction.objectStore(STORE))), finished(transaction)]);
    return value;
  } finally {
    db.close();
  }
}
function promise(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("the key store is in use by an older page"));
  });
}
function finished(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("the key store did not take it"));
  });
}

// transport/hub/page/src/api.js
var MAX_ITEM_SIZE = 4 * 1024 * 1024 + 8 * 1024;
var MAX_JSON_SIZE = 8 * 1024 * 1024;
var MAX_LIST = 4096;
var MAX_TIMELINE_WAIT = 25;
var MAX_ADDRESSES = 4;
var MAX_STATEMENTS = 50;
var TIMEOUT_MS = 3e4;
var SIGN_IN_LABEL = "lensward/signin/1";
var APIError = class extends Error {
  constructor(status, message, hint = "") {
    super(message);
    this.name = "APIError";
    this.status = status;
    this.hint = hint;
  }
};
var Client = class {
  #fetch;
  #base;
  #keys;
  #token = null;
  #signingIn = null;
  /**
   * @param {import("./keys.js").Keys} keys
   * @param {{base?: string, fetch?: typeof fetch}} [options]
   */
  constructor(keys, { base = "", fetch: fetch2 = globalThis.fetch.bind(globalThis) } = {}) {
    this.#keys = keys;
    this.#base = base;
    this.#fetch = fetch2;
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
      id,
      mixup: mixup > 0 && mixup <= 1 ? mixup : 0,
      servedBy: servedBy === "view" ? "view" : "hub",
      devices: (Array.isArray(devices) ? devices : []).filter((a) => typeof a === "string").slice(0, MAX_ADDRESSES),
      retention: Number.isSafeInteger(retention) && retention > 0 ? retention * 1e3 : 0
    };
  }
  /** Proves the viewer key over a challenge; later calls carry the token. */
  async signIn(signal) {
    this.#signingIn ??= this.#signIn(signal).finally(() => {
      this.#signingIn = null;
    });
    return this.#signingIn;
  }
  async #signIn(signal) {
    const hub = await this.hub(signal);
    const { nonce } = await this.#json("POST", "/api/v1/challenge", { signal, open: true, body: {} });
    const payload = encode(/* @__PURE__ */ new Map([
      [0, SIGN_IN_LABEL],
      [1, unbase32(this.#keys.owner)],
      [2, this.#keys.viewerSPKI],
      [3, decoded(() => unbase64url(nonce))],
      [4, unbase32(hub.id)]
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
    const { items, next } = await this.#json("GET", `/api/v1/timeline?${query}`, { signal, extra: wait * 1e3 });
    const rows = list(items).slice(0, limit).map((row2) => ({ cursor: number(row2?.cursor), envelope: envelopeOf(row2) }));
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
    const bytes = await this.#call("GET", `/api/v1/pair/${rendezvous}/camera?${query}`, { signal, limit, open: true, extra: wait * 1e3 });
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
    if (body !== void 0) headers["Content-Type"] = isBytes ? "application/octet-stream" : "application/json";
    const timeout = AbortSignal.timeout(TIMEOUT_MS + extra);
    try {
      return await this.#fetch(this.#base + path, {
        method,
        headers,
        body: body === void 0 || isBytes ? body : JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        referrerPolicy: "no-referrer"
      });
    } catch (err) {
      signal?.throwIfAborted();
      throw new APIError(0, `the hub does not answer (${err.message})`);
    }
  }
};
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
      await reader.cancel().catch(() => void 0);
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

// transport/hub/page/src/jobs.js
function backoff(tries, { first, most }, random = Math.random) {
  const whole = Math.min(most, first * 2 ** Math.min(tries, 30));
  return whole / 2 + whole / 2 * random();
}
function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const timer = setTimeout(done, ms);
    function done() {
      signal?.removeEventListener("abort", stop);
      resolve();
    }
    function stop() {
      clearTimeout(timer);
      reject(signal.reason);
    }
    signal?.addEventListener("abort", stop, { once: true });
  });
}
var Jobs = class {
  #jobs = /* @__PURE__ */ new Map();
  #running = 0;
  #timer = null;
  #workers;
  #signal;
  constructor({ workers, signal }) {
    this.#workers = workers;
    this.#signal = signal;
    signal.addEventListener("abort", () => {
      clearTimeout(this.#timer);
      this.#jobs.clear();
    }, { once: true });
  }
  /** How many jobs there are, running or not. */
  get size() {
    return this.#jobs.size;
  }
  /**
   * Adds a job, unless one of that name is there.
   * @param {string} name
   * @param {number} urgency larger goes first
   * @param {() => Promise<number|null>} run gives null when the job is over, else
   *   how many milliseconds later to run it again
   */
  add(name, urgency, run, delay = 0) {
    if (this.#signal.aborted || this.#jobs.has(name)) return;
    this.#jobs.set(name, { name, urgency, run, due: performance.now() + delay, running: false });
    this.#pump();
  }
  #pump() {
    clearTimeout(this.#timer);
    const now = performance.now();
    while (this.#running < this.#workers) {
      const job = this.#next(now);
      if (!job) break;
      this.#start(job);
    }
    const waiting = [...this.#jobs.values()].filter((j) => !j.running && j.due > now);
    if (waiting.length > 0) {
      this.#timer = setTimeout(() => this.#pump(), Math.max(1, Math.min(...waiting.map((j) => j.due)) - now));
    }
  }
  #next(now) {
    let best = null;
    for (const job of this.#jobs.values()) {
      if (!job.running && job.due <= now && (best === null || job.urgency > best.urgency)) best = job;
    }
    return best;
  }
  async #start(job) {
    job.running = true;
    this.#running++;
    let again = null;
    try {
      again = await job.run();
    } catch (err) {
      console.error(`job ${job.name}:`, err);
    } finally {
      this.#running--;
      job.running = false;
      if (again === null) this.#jobs.delete(job.name);
      else job.due = performance.now() + again;
      if (!this.#signal.aborted) this.#pump();
    }
  }
};

// transport/hub/page/src/pairing/session.js
var TIMING = {
  again: 4e3,
  // a message is sent again
  after: 6e4,
  // for so long after the end
  trouble: { first: 500, most: 1e4 },
  wait: 20,
  // seconds of a long poll
  tick: 500
};
var PairingSession = class extends EventTarget {
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
    const over2 = new AbortController();
    this.#signal = AbortSignal.any([signal, over2.signal]);
    const until = async (loop) => {
      try {
        await loop();
      } catch (err) {
        if (!this.#signal.aborted) throw err;
      } finally {
        over2.abort();
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
          not,
          wait: this.#timing.wait,
          limit: MAX_MESSAGE,
          signal: this.#signal
        });
        if (failures > 0) this.#say("");
        failures = 0;
        if (message !== null) {
          await this.#take(message);
          not = hex(await sha256(message));
        }
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
    for (; ; ) {
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
};
function withResolvers() {
  const out = {};
  out.promise = new Promise((resolve) => {
    out.resolve = resolve;
  });
  return out;
}

// transport/hub/page/src/pairing/desk.js
var LOCK = "lensward-pairing";
var RELEASE_LIFE = 366 * 24 * 36e5;
var PATIENCE = 20 * 6e4;
var PairingDesk = class extends EventTarget {
  /** Whether another tab has the pairing. */
  isElsewhere = false;
  /** What became of a camera that is not the person's: "", "sending", "sent", or what went wrong. */
  thrown = "";
  #keys;
  #api;
  #viewer;
  #store;
  #timing;
  #signal = null;
  #session = null;
  #answer = "";
  #isEnded = false;
  #stop = null;
  /**
   * @param {object} options
   * @param {import("../keys.js").Keys} options.keys
   * @param {import("../api.js").Client} options.api
   * @param {import("../viewer.js").Viewer} options.viewer
   * @param {{load: Function, keep: Function, forget: Function}} [options.store]
   */
  constructor({ keys, api, viewer, store = { load: loadPairing, keep: keepPairing, forget: forgetPairing }, timing }) {
    super();
    Object.assign(this, { given: new GivenAway(keys.owner) });
    this.#keys = keys;
    this.#api = api;
    this.#viewer = viewer;
    this.#store = store;
    this.#timing = timing;
    viewer.addEventListener("cameras", () => this.#learn());
  }
  /** Whether these keys can make a camera theirs. */
  get canPair() {
    return this.#keys.rootKey !== null;
  }
  /** @returns {PairingSession|null} the pairing that is under way, or over and not looked at yet */
  get session() {
    return this.#session;
  }
  /** What the person said of the first picture: "", "mine" or "other". */
  get answer() {
    return this.#answer;
  }
  /** Holds the pairing for this tab until signal ends it, and goes on with what is kept. */
  async run(signal) {
    this.#signal = signal;
    const hold = async () => {
      this.isElsewhere = false;
      await this.#resume();
      this.#changed();
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    };
    const { locks } = globalThis.navigator ?? {};
    if (!locks) return hold();
    const { held } = await locks.query();
    this.isElsewhere = held.some(({ name }) => name === LOCK);
    this.#changed();
    try {
      await locks.request(LOCK, { signal }, hold);
    } catch (err) {
      if (!signal.aborted) throw err;
    }
  }
  async #resume() {
    const kept = await this.#store.load();
    if (kept === null || kept.memory.owner !== this.#keys.owner || !this.canPair) return;
    this.#answer = kept.answer;
    this.#start(new OwnerPairing(kept.memory, this.#ownerKeys(), (memory) => this.#keep(memory)));
    if (kept.memory.ownership) await this.#viewer.takeOwnership(kept.memory.ownership);
  }
  async #keep(memory) {
    await this.#store.keep({ memory, answer: this.#answer });
  }
  #ownerKeys() {
    const { owner, ownerKey, rootKey } = this.#keys;
    return { owner, ownerKey, rootKey, newest: (device) => this.#newest(device), audience: () => audienceOf(this.#keys, this.#viewer.home.newest) };
  }
  #newest(device) {
    const known = this.#viewer.records.cameras.find((camera) => camera.device === device);
    return known ? { epoch: known.epoch, hash: known.hash } : null;
  }
  /**
   * Makes a code and begins a pairing with it.
   * @param {{wifi: {ssid: Uint8Array, passphrase: string, hidden: boolean}|null}} options
   */
  async begin({ wifi }) {
    const { id, devices } = this.#viewer.hub;
    const addresses = devices.filter(isHostPort);
    const code = await makeCode({
      owner: this.#keys.owner,
      expires: Math.floor((Date.now() + CODE_LIFE) / 1e3),
      hub: addresses.length > 0 ? { id, addresses } : null,
      wifi
    });
    this.#answer = "";
    this.thrown = "";
    this.#start(await OwnerPairing.begin(code, this.#ownerKeys(), (memory) => this.#keep(memory)));
  }
  #start(pairing) {
    this.#stop?.abort();
    this.#stop = new AbortController();
    const session = new PairingSession({ pairing, api: this.#api, timing: this.#timing });
    this.#session = session;
    this.#isEnded = false;
    session.addEventListener("change", () => this.#moved(session));
    const signal = AbortSignal.any([this.#signal, this.#stop.signal]);
    session.run(signal).then(() => this.#ended(session), (err) => {
      console.error(err);
      session.trouble = `The pairing stopped because of a fault in this page: ${err.message}. Load it again.`;
      this.#changed();
    });
    this.#moved(session);
  }
  #moved(session) {
    if (session !== this.#session) return;
    const { phase, ownership } = session.memory;
    this.#viewer.isExpecting = (phase === "agreed" || phase === "done") && this.#answer === "";
    if (ownership && this.#newest(session.memory.device)?.hash !== session.memory.recordHash) this.#viewer.takeOwnership(ownership);
    this.#changed();
  }
  /** A pairing whose picture was judged is forgotten when it has nothing more to send. */
  async #ended(session) {
    if (session !== this.#session) return;
    this.#isEnded = true;
    if (this.#answer === "mine") await this.#store.forget();
  }
  #learn() {
    const { phase, recordHash } = this.#session?.memory ?? {};
    if (phase !== "agreed") return;
    const found = this.#viewer.records.cameras.find(({ hash, ownership }) => hash === recordHash && ownership !== null);
    if (found) this.#session.learn(found.ownership.bytes);
  }
  /** Whether the camera must have given up by now, so that nothing is lost by not waiting. */
  get isStale() {
    return this.#session !== null && Date.now() > this.#session.memory.expires * 1e3 + PATIENCE;
  }
  /** The event with the first picture of the camera that was added, or null. */
  get firstPicture() {
    const { device, phase } = this.#session?.memory ?? {};
    if (phase !== "done") return null;
    const { epoch } = this.#viewer.records.cameras.find((camera) => camera.device === device) ?? {};
    for (const event of this.#viewer.timeline.events.values()) {
      if (event.device === device && event.thumbnail?.header.epoch === epoch) return event;
    }
    return null;
  }
  /** Takes the person's word on the first picture. */
  async say(answer) {
    this.#answer = answer;
    await this.#keep(this.#session.memory);
    this.#moved(this.#session);
    if (this.#isEnded) await this.#ended(this.#session);
  }
  /** Signs that the camera is nobody's, hides it here, and leaves that with the hub for it. */
  async throwAway() {
    const { ownership } = this.#session.memory;
    this.thrown = "sending";
    this.#changed();
    try {
      const own = await parseOwnership(ownership);
      this.given.add(own.record.device, own.record.epoch);
      await this.#api.leaveLetter(own.record.device, await signRelease(this.#keys.rootKey, own, Date.now() + RELEASE_LIFE), this.#signal);
      this.thrown = "sent";
    } catch (err) {
      this.thrown = err.message;
    }
    this.#changed();
  }
  /** Forgets the pairing: there is room for another. */
  async close() {
    this.#stop?.abort();
    this.#session = null;
    this.#viewer.isExpecting = false;
    await this.#store.forget();
    this.#changed();
  }
  #changed() {
    this.dispatchEvent(new Event("change"));
  }
};
var GivenAway = class {
  #key;
  #all = /* @__PURE__ */ new Set();
  constructor(owner) {
    this.#key = `lensward.given.${owner}`;
    try {
      this.#all = new Set(JSON.parse(localStorage.getItem(this.#key) ?? "[]"));
    } catch {
    }
  }
  add(device, epoch) {
    this.#all.add(`${device}/${epoch}`);
    try {
      localStorage.setItem(this.#key, JSON.stringify([...this.#all].slice(-256)));
    } catch {
    }
  }
  has(device, epoch) {
    return this.#all.has(`${device}/${epoch}`);
  }
};

// transport/hub/page/src/opener.js
var TRIES = 12;
var Opener = class {
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
  #opening = /* @__PURE__ */ new Map();
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
      opening = withResolvers2();
      this.#opening.set(stub.hash, opening);
      opening.promise.catch(() => void 0).finally(() => this.#opening.delete(stub.hash));
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
      if (item.ref !== ref || hash !== null && item.hash !== hash) throw refuse("not-asked-for", `it is ${item.ref}`);
      await this.#check(item.header);
      return item;
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
      this.#withhold(err, isVerified ? item : null, ref);
      return null;
    }
  }
};
function over(settle, value) {
  settle(value);
  return null;
}
function withResolvers2() {
  const out = {};
  out.promise = new Promise((resolve, reject) => Object.assign(out, { resolve, reject }));
  return out;
}

// transport/hub/page/src/asker.js
var AT_ONCE = 100;
var Asker = class {
  #o;
  #asked = /* @__PURE__ */ new Map();
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
};

// transport/hub/page/src/home.js
var MOST = 4096;
var Home = class {
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
      for (; ; ) {
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
        this.#keys.identities.splice(0, Infinity, .../* @__PURE__ */ new Set([...this.#keys.identities, ...came]));
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
};

// transport/hub/page/src/seen.js
var MAX_HEADS = 512;
var MAX_HOLES = 256;
var Seen = class {
  /** The newest statement of the household that the hub gave: {serial, hash}, or null. */
  household = null;
  #storage;
  #key;
  /** @type {Map<string, Head>} by device and epoch, the newest last */
  #heads = /* @__PURE__ */ new Map();
  #moved = false;
  /** @param {string} owner @param {Storage|null} storage */
  constructor(owner, storage) {
    this.#storage = storage;
    this.#key = `lensward.heads.${owner}`;
    try {
      this.#load(JSON.parse(storage.getItem(this.#key) ?? "[]"));
    } catch {
    }
  }
  #load(kept) {
    if (Array.isArray(kept)) return this.#loadFirst(kept);
    for (const [device, epoch, chain, seq, hash, envelope, through, holes] of kept.heads) {
      this.#heads.set(`${device}/${epoch}`, { device, epoch, chain, seq, hash, envelope: envelope ? unbase64url(envelope) : null, through, holes });
    }
    this.household = kept.household ?? null;
  }
  /** Version 1 had places alone, of all chains. */
  #loadFirst(kept) {
    for (const [name, seq] of kept) {
      const [device, ...numbers] = name.split("/");
      const [epoch, chain] = numbers.map(Number);
      if (!Number.isSafeInteger(seq) || seq < 1) continue;
      if ((this.#heads.get(`${device}/${epoch}`)?.chain ?? 0) > chain) continue;
      this.#heads.set(`${device}/${epoch}`, { device, epoch, chain, seq, hash: "", envelope: null, through: 0, holes: [] });
    }
  }
  /** @returns {Head[]} the newest last */
  get heads() {
    return [...this.#heads.values()];
  }
  /** @returns {Head|undefined} */
  head(device, epoch) {
    return this.#heads.get(`${device}/${epoch}`);
  }
  /** Takes an item that was taken into account. */
  note({ device, epoch, chain, seq }, hash, envelope) {
    const name = `${device}/${epoch}`;
    const known = this.#heads.get(name);
    if (known && (chain < known.chain || chain === known.chain && (seq < known.seq || seq === known.seq && known.hash !== ""))) return;
    const same = known?.chain === chain;
    this.#heads.delete(name);
    this.#heads.set(name, { device, epoch, chain, seq, hash, envelope: envelope.slice(), through: same ? known.through : 0, holes: same ? known.holes : [] });
    if (this.#heads.size > MAX_HEADS) this.#heads.delete(this.#heads.keys().next().value);
    this.#moved = true;
  }
  /** Takes the newest statement that the hub gave. */
  noteStatement(serial, hash) {
    if ((this.household?.serial ?? 0) >= serial) return;
    this.household = { serial, hash };
    this.#moved = true;
  }
  /**
   * Notes what is missing when a visit has come to its end. What was there once stays
   * owed: it is no hole.
   * @param {import("./audit.js").Missing[]} missing
   */
  noteHoles(missing) {
    for (const head of this.#heads.values()) {
      const holes = holesNow(head, missing);
      if (holes.length > MAX_HOLES || head.through === head.seq && JSON.stringify(holes) === JSON.stringify(head.holes)) continue;
      head.through = head.seq;
      head.holes = holes;
      this.#moved = true;
    }
  }
  save() {
    if (!this.#moved) return;
    const heads = this.heads.map((h2) => [h2.device, h2.epoch, h2.chain, h2.seq, h2.hash, h2.envelope ? base64url(h2.envelope) : "", h2.through, h2.holes]);
    try {
      this.#storage.setItem(this.#key, JSON.stringify({ version: 2, heads, household: this.household }));
      this.#moved = false;
    } catch {
    }
  }
};
function holesNow(head, missing) {
  const holes = [];
  const add = (from, to) => {
    const last = holes.at(-1);
    if (last && last[1] + 1 === from) last[1] = to;
    else if (from <= to) holes.push([from, to]);
  };
  for (const m of missing) {
    if (m.device !== head.device || m.epoch !== head.epoch || m.chain !== head.chain || m.dropped || m.from > head.seq) continue;
    const to = Math.min(m.to, head.seq);
    for (const [a, b] of head.holes) if (a <= to && m.from <= b) add(Math.max(m.from, a), Math.min(to, b));
    if (to > head.through) add(Math.max(m.from, head.through + 1), to);
  }
  return holes;
}
function hadBefore(run, head) {
  const out = [];
  let { from } = run;
  const to = Math.min(run.to, head.through);
  for (const [a, b] of head.holes) {
    if (from > to || a > to) break;
    if (b < from) continue;
    if (a > from) out.push({ ...run, from, to: a - 1 });
    from = b + 1;
  }
  if (from <= to) out.push({ ...run, from, to });
  return out;
}

// transport/hub/page/src/inspector.js
var CLOCK_SLACK = 5 * 6e4;
var SILENT_AFTER = 16 * 6e4;
var MAX_KEPT = 16384;
var MAX_SUSPECTS = 64;
var MAX_UNSURE = 256;
var CONFIRM_ASKS = 3;
var chainOf = ({ device, epoch, chain }) => `${device}/${epoch}/${chain}`;
var refOf = ({ device, epoch, chain, seq }) => `${device}/${epoch}/${chain}/${seq}`;
var Inspector = class {
  /** How long the hub keeps items by its word, in milliseconds; 0 for ever. */
  retention = 0;
  #audit;
  #seen;
  #records;
  #timing;
  #now;
  #ask;
  #again;
  #kept = /* @__PURE__ */ new Map();
  // envelopes by place, for proofs
  #tops = /* @__PURE__ */ new Map();
  // by chain: the highest number that came
  #expected = /* @__PURE__ */ new Map();
  // heads that the hub must fit with, by place
  #members = [];
  // those of them that other members told of
  #strangers = [];
  // members' heads whose records are not known yet
  #settled = /* @__PURE__ */ new Map();
  // by chain: {upTo, item}
  #beats = /* @__PURE__ */ new Set();
  // chains that say something every five minutes
  #gaps = /* @__PURE__ */ new Map();
  // gap items that were not opened, or not yet
  #suspects = /* @__PURE__ */ new Map();
  #runs = [];
  // the missing runs that were told
  #unsure = [];
  // misrouted by records that may be too old
  #arrived = /* @__PURE__ */ new Map();
  // by device: when an item came last
  #quiet = /* @__PURE__ */ new Map();
  #older = /* @__PURE__ */ new Map();
  // by device, "" for the household: since when the newest is not given
  /**
   * @param {object} options
   * @param {import("./audit.js").Audit} options.audit
   * @param {import("./seen.js").Seen} options.seen
   * @param {import("./records.js").Records} options.records
   * @param {{confirm: number, silent: number, older: number}} options.timing in milliseconds
   * @param {() => number} options.now the time, in milliseconds since 1970
   * @param {(place: object) => Promise<boolean>} options.ask asks the hub for an item by
   *   name; whether it gave it
   * @param {(what: "records"|"examine", ms: number) => void} options.again has the records
   *   fetched, or examine called, after a time
   * @param {(finding: object) => void} options.found
   */
  constructor({ audit, seen, records, timing, now, ask, again, found }) {
    this.#audit = audit;
    this.#seen = seen;
    this.#records = records;
    this.#timing = timing;
    this.#now = now;
    this.#ask = ask;
    this.#again = again;
    this.findings = new Findings(found);
    for (const head of seen.heads) {
      audit.expect(head);
      if (head.hash !== "" && head.envelope !== null) this.#expected.set(refOf(head), { hash: head.hash, envelope: head.envelope, prev: null });
    }
  }
  /** Has the envelopes of the known heads read. To be called before anything is taken. */
  async begin() {
    for (const [ref, head] of this.#expected) {
      try {
        const item = await parseEnvelope(head.envelope);
        Object.assign(head, { prev: item.header.prev, header: item.header });
      } catch (err) {
        if (!(err instanceof Refusal)) throw err;
        this.#expected.delete(ref);
      }
    }
  }
  #tell(finding) {
    this.findings.tell({ at: this.#now(), ...finding });
  }
  /** Refuses an item that contradicts a head that is known: fork, broken-chain. */
  fits(header, hash) {
    const at = (seq) => this.#expected.get(refOf({ ...header, seq })) ?? this.#audit.at({ ...header, seq });
    const here = at(header.seq);
    if (here && here.hash !== hash) throw refuse("fork", `item ${header.seq} is not the one that is known`);
    const before = at(header.seq - 1);
    if (before && before.hash !== header.prev) throw refuse("broken-chain", `item ${header.seq} does not follow the item ${header.seq - 1} that is known`);
    const after = at(header.seq + 1);
    if (after && after.prev !== hash) throw refuse("broken-chain", `item ${header.seq} is not the one that the known item ${header.seq + 1} follows`);
  }
  /** Notes an item that was taken. */
  took(header, hash, envelope, { isGap }) {
    const chain = chainOf(header);
    this.#tops.set(chain, Math.max(this.#tops.get(chain) ?? 0, header.seq));
    this.#kept.set(refOf(header), { header, envelope: envelope.slice() });
    if (this.#kept.size > MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value);
    this.#arrived.set(header.device, Date.now());
    if (isGap) this.#gaps.set(refOf(header), header);
    this.#seen.note(header, hash, envelope);
  }
  /** Notes that a gap item was opened. */
  explained(header) {
    this.#gaps.delete(refOf(header));
  }
  /** Notes what a checkpoint says of its chain; item is the whole of it. */
  heardCheckpoint(header, { cause, settled }, item) {
    const chain = chainOf(header);
    if (cause === "periodic") this.#beats.add(chain);
    if (settled < header.seq && settled > (this.#settled.get(chain)?.upTo ?? 0)) this.#settled.set(chain, { upTo: settled, item });
  }
  #envelope(place) {
    return this.#kept.get(refOf(place))?.envelope;
  }
  /** Judges an answer that was withheld; asked is the place that was asked for, or "". */
  withheld({ reason, misrouted, detail }, item, asked) {
    if (!item?.envelope) return;
    const { header } = item;
    const answer = { what: "answer", bytes: item.envelope };
    const place = { ...placeOf(header), detail: detail || reason };
    if (misrouted === "wrong-owner") return this.#tell({ ...place, name: "misrouted", proof: [answer] });
    if (misrouted === "unknown-device" || misrouted === "wrong-epoch") return this.#doubt({ at: Date.now(), item, place, answer });
    if (misrouted !== "") return;
    if (reason === "replayed") return this.#tell({ ...place, name: "replayed", proof: [answer] });
    if (reason === "fork" || reason === "broken-chain") return this.#tell({ ...place, name: "fork", proof: [this.#contradicted(header), answer] });
    if (reason !== "not-asked-for" || !asked) return;
    const known = this.#kept.get(asked);
    const proof = [{ what: "asked", bytes: known?.envelope }, answer];
    const name = asked === item.ref ? "fork" : swapped(known?.header ?? null, header);
    this.#tell({ ...placeOf(placeNamed(asked)), detail: place.detail, name, proof });
  }
  /** The envelope that an item cannot be of one history with. */
  #contradicted(header) {
    for (const seq of [header.seq, header.seq - 1, header.seq + 1]) {
      const ref = refOf({ ...header, seq });
      const bytes = this.#expected.get(ref)?.envelope ?? this.#kept.get(ref)?.envelope;
      if (bytes) return { what: "asked", bytes };
    }
    return { what: "asked", bytes: null };
  }
  /** Has a camera or epoch that is not known looked at again with newer records. */
  #doubt(doubt) {
    if (this.#unsure.length >= MAX_UNSURE) return;
    this.#unsure.push(doubt);
    this.#again("records", this.#timing.older);
  }
  /**
   * Looks at the records after they were fetched.
   * @param {number} asked when they were asked for, by Date.now
   * @param {(header: object) => string} policy the reason for which a header fails it, or ""
   */
  heardRecords(asked, policy, refused) {
    const doubts = this.#unsure.filter(({ at }) => at <= asked);
    this.#unsure = this.#unsure.filter(({ at }) => at > asked);
    for (const { item, place, answer } of doubts) {
      if (["unknown-device", "wrong-epoch"].includes(policy(item.header))) this.#tell({ ...place, name: "misrouted", proof: [answer] });
    }
    for (const { reason, detail, ownership } of refused) {
      if (reason === "fork" && ownership) this.#tellRecord("fork", ownership.record, detail, [{ what: "other-record", bytes: ownership.bytes }]);
    }
    for (const { device, given, isGiven } of this.#records.given()) {
      this.#judgeOlder(device, isGiven, () => this.#tellRecord(
        "rolled-back",
        { device, ...given },
        `revision ${given.revision} of epoch ${given.epoch} was given before, and is given no more`,
        []
      ));
    }
    this.#judgeStrangers(policy);
  }
  #tellRecord(name, { device, epoch, revision }, detail, proof) {
    this.#tell({ name, device, epoch, chain: 0, from: revision, to: revision, detail, proof });
  }
  /** Tells what is not given at two looks. */
  #judgeOlder(key, isGiven, tell) {
    const since = this.#older.get(key);
    if (isGiven) {
      this.#older.delete(key);
      return;
    }
    if (since === void 0) this.#older.set(key, Date.now());
    const left = (since ?? Date.now()) + this.#timing.older - Date.now();
    if (left <= 0) tell();
    else this.#again("records", left);
  }
  /** Looks at the newest statement that the hub gives of the household, null for none. */
  heardHousehold(newest, fork) {
    const known = this.#seen.household;
    if (fork) {
      this.#tell({
        name: "fork",
        from: fork.serial,
        to: fork.serial,
        detail: `another statement ${fork.serial} than was given before`,
        proof: [{ what: "other-statement", bytes: fork.envelope }]
      });
    }
    if (known) {
      this.#judgeOlder("", (newest?.serial ?? 0) >= known.serial, () => this.#tell({
        name: "rolled-back",
        from: known.serial,
        to: known.serial,
        detail: `statement ${known.serial} was given before, and is given no more`
      }));
    }
    if (newest) this.#seen.noteStatement(newest.serial, newest.hash);
  }
  /** Tells that a row lists an item, and that it is answered with 404 again and again. */
  listedOnly(header) {
    if (!this.#keeps(header)) return;
    this.#tell({
      ...placeOf(header),
      name: "dropped-middle",
      detail: "the hub lists the item, and says that it is not there",
      proof: [{ what: "asked", bytes: this.#envelope(header) }]
    });
  }
  /** Looks, at the time line's end with no row to be asked for again, for what is missing and should not be. */
  examine() {
    const open = /* @__PURE__ */ new Map();
    for (const run of this.#owing()) {
      if (this.#wasTold(run) || open.size >= MAX_SUSPECTS) continue;
      const ref = refOf({ ...run, seq: run.to });
      const suspect = this.#suspects.get(ref) ?? { asks: 0, isDenied: false };
      open.set(ref, suspect);
      if (suspect.isDenied) this.#tellRun(run);
      else if (suspect.asks === 0) this.#confirm(suspect, { ...run, seq: run.to });
    }
    this.#suspects = open;
    if ([...open.values()].every(({ isDenied }) => isDenied)) this.#seen.noteHoles(this.#audit.missing());
    this.#seen.save();
  }
  /** Asks for an item at once, and again a while later: it is denied if it does not come then either. */
  async #confirm(suspect, place) {
    for (suspect.asks = 1; suspect.asks <= CONFIRM_ASKS; suspect.asks++) {
      const answer = await this.#ask(place, suspect.asks === 1 ? 0 : this.#timing.confirm);
      if (answer === "given") return;
      if (answer === "denied" && suspect.asks > 1) {
        suspect.isDenied = true;
        this.#again("examine", 0);
        return;
      }
    }
  }
  #tellRun({ name, device, epoch, chain, from, to, detail, proof }) {
    this.#runs.push({ name, device, epoch, chain, from, to });
    this.#tell({ name, device, epoch, chain, from, to, detail, proof });
  }
  #wasTold(run) {
    return this.#runs.some((t) => t.name === run.name && chainOf(t) === chainOf(run) && t.from <= run.to && run.from <= t.to);
  }
  /** What is missing though the hub has to have it. */
  *#owing() {
    const { cameras } = this.#records.policy;
    for (const run of this.#audit.missing()) {
      if (run.dropped || !cameras.has(run.device) || this.#mayBeExplained(run)) continue;
      const chain = chainOf(run);
      if (run.from > (this.#tops.get(chain) ?? 0)) {
        yield* this.#tail(run);
        continue;
      }
      const settled = this.#settled.get(chain);
      if (settled && settled.upTo >= run.from && this.#mustKeep(run)) {
        const to = Math.min(run.to, settled.upTo);
        yield this.#middle({ ...run, to }, `items ${run.from} to ${to} are missing, and a checkpoint says that they were delivered`, { what: "checkpoint", bytes: settled.item });
        continue;
      }
      const head = this.#seen.head(run.device, run.epoch);
      if (!head || head.chain !== run.chain || this.retention > 0) continue;
      for (const lost of hadBefore(run, head)) yield this.#middle(lost, `items ${lost.from} to ${lost.to} are missing, and were there before`);
    }
  }
  /** Whether a gap item that was not opened stands after a run: it may be the one that names it. */
  #mayBeExplained({ device, epoch, chain, from }) {
    return [...this.#gaps.values()].some((g) => g.device === device && g.epoch === epoch && (g.chain > chain || g.chain === chain && g.seq > from));
  }
  #middle(run, detail, ...more) {
    const proof = [
      { what: "before", bytes: this.#envelope({ ...run, seq: run.from - 1 }) },
      { what: "after", bytes: this.#envelope({ ...run, seq: run.to + 1 }) },
      ...more
    ];
    return { ...run, name: "dropped-middle", detail, proof };
  }
  *#tail(run) {
    for (const head of [...this.#seen.heads, ...this.#members]) {
      if (chainOf(head) !== chainOf(run) || head.seq < run.to) continue;
      const header = this.#expected.get(refOf(head))?.header;
      if (this.retention > 0 && !(header && this.#keeps(header))) continue;
      const proof = [{ what: "before", bytes: this.#envelope({ ...run, seq: run.from - 1 }) }, { what: "head", bytes: head.envelope }];
      yield { ...run, name: "withheld-tail", detail: `item ${head.seq} is known to exist, and the hub gives none after ${run.from - 1}`, proof };
      return;
    }
  }
  #mustKeep(run) {
    if (this.retention === 0) return true;
    const before = this.#kept.get(refOf({ ...run, seq: run.from - 1 }))?.header;
    return before !== void 0 && this.#keeps(before);
  }
  /** Whether the hub must still have what was captured at the time of a header or after. */
  #keeps(header) {
    return this.retention === 0 || header.clock === CLOCK_NETWORK && this.#now() - header.captured < this.retention - CLOCK_SLACK;
  }
  /** Looks at the hub's word on the cameras, the time line being read to its end. */
  heardDevices(words) {
    const still = /* @__PURE__ */ new Map();
    for (const [device, word] of words) {
      const head = this.#silentHead(device, word);
      if (head === null) continue;
      const ref = refOf(head);
      const known = this.#quiet.get(device);
      const isSame = known?.ref === ref && (this.#arrived.get(device) ?? 0) <= known.since;
      const quiet = isSame ? known : { since: Date.now(), ref };
      still.set(device, quiet);
      if (Date.now() - quiet.since < this.#timing.silent) continue;
      this.#tell({
        ...placeOf(head),
        name: "silent",
        proof: [{ what: "before", bytes: head.envelope }],
        detail: `the hub says that it was last heard at ${new Date(word.seen * 1e3).toISOString()}`
      });
    }
    this.#quiet = still;
  }
  /** The newest head of a camera that is there by the hub's word and says nothing, or null. */
  #silentHead(device, { online, seen }) {
    const head = this.#seen.heads.filter((h2) => h2.device === device).sort((a, b) => b.epoch - a.epoch)[0];
    if (!head || !online || !this.#beats.has(chainOf(head))) return null;
    const header = this.#kept.get(refOf(head))?.header ?? this.#expected.get(refOf(head))?.header;
    const isFresh = Math.abs(this.#now() - seen * 1e3) < CLOCK_SLACK;
    return header && isFresh && header.clock === CLOCK_NETWORK && this.#now() - header.captured > SILENT_AFTER ? head : null;
  }
  /** Takes the heads of another member: verified items, which are held against what is known. */
  hearMember(items, policy) {
    this.#strangers.push(...items);
    this.#judgeStrangers(policy);
  }
  #judgeStrangers(policy) {
    this.#strangers = this.#strangers.filter((item) => {
      if (policy(item.header) !== "") return true;
      this.#judgeMember(item);
      return false;
    });
  }
  #judgeMember(item) {
    const { header, hash, envelope } = item;
    try {
      this.fits(header, hash);
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
      this.#tell({
        ...placeOf(header),
        name: "fork",
        detail: `a member's head: ${err.detail}`,
        proof: [this.#contradicted(header), { what: "answer", bytes: envelope }]
      });
      return;
    }
    this.#expected.set(item.ref, { hash, envelope, prev: header.prev, header });
    this.#members.push({ ...placeOf(header), seq: header.seq, hash, envelope });
    this.#audit.expect(header);
  }
};
function placeOf({ device, epoch, chain, seq }) {
  return { device, epoch, chain, from: seq, to: seq };
}
function placeNamed(ref) {
  const [device, ...numbers] = ref.split("/");
  const [epoch, chain, seq] = numbers.map(Number);
  return { device, epoch, chain, seq };
}

// transport/hub/page/src/missing.js
var MIN_TRIES = 2;
var MAX_NOTICES = 200;
function missingNotices(runs, timeline, tries) {
  const out = [];
  let time = 0;
  let chain = "";
  for (const run of [...runs].reverse()) {
    const name = `${run.device}/${run.epoch}/${run.chain}`;
    if (name !== chain) time = 0;
    chain = name;
    const after = timeline.stubs.get(`${name}/${run.to + 1}`);
    time = after?.header.captured ?? (time || (timeline.stubs.get(`${name}/${run.from - 1}`)?.header.captured ?? 0));
    if (!run.dropped && tries(`${name}/${run.to}`) < MIN_TRIES) continue;
    out.push({
      key: `${name}/${run.from}`,
      type: run.dropped ? "dropped" : "missing",
      device: run.device,
      count: run.to - run.from + 1,
      kind: run.dropped?.kind ?? 0,
      reason: run.dropped?.reason ?? "",
      delivered: !run.dropped && wasDelivered(run, timeline.cameras.get(run.device)),
      time
    });
  }
  return out.sort((a, b) => b.time - a.time).slice(0, MAX_NOTICES);
}
function endNotices(timeline, epochs) {
  return [...timeline.ended.values()].filter(({ device, epoch }) => !(epochs.get(device) > epoch)).map(({ device, epoch, at }) => ({ key: `${device}/${epoch}/end`, type: "ended", device, count: 0, kind: 0, reason: "ownership", delivered: false, time: at }));
}
function wasDelivered(run, camera) {
  if (!camera?.says || !camera.checkpoint) return false;
  const { epoch, chain, seq } = camera.checkpoint.header;
  const isLater = epoch === run.epoch && (chain > run.chain || chain === run.chain && seq > run.to);
  return isLater && camera.says.depth === 0 && camera.says.aside === 0;
}

// transport/hub/page/src/records.js
var MAX_RECORDS_PER_CAMERA = 256;
var Records = class {
  #owner;
  #storage;
  #key;
  #cameras = /* @__PURE__ */ new Map();
  #isGiven = /* @__PURE__ */ new Set();
  /** Whether the pins outlive the page. */
  pinned = true;
  /** @param {string} owner @param {Storage|null} storage where the pins are kept */
  constructor(owner, storage) {
    this.#owner = owner;
    this.#storage = storage;
    this.#key = `lensward.records.${owner}`;
    this.#load();
  }
  /** What items are held against. @returns {import("./item.js").Policy} */
  get policy() {
    const cameras = /* @__PURE__ */ new Map();
    for (const [device, camera] of this.#cameras) cameras.set(device, camera.records);
    return { owner: this.#owner, cameras };
  }
  /** The paired cameras: {device, epoch, revision, hash, ownership|null}; null where only the pin is known. */
  get cameras() {
    return [...this.#cameras].map(([device, { epoch, revision, hash, ownership }]) => ({ device, epoch, revision, hash, ownership }));
  }
  /**
   * Takes the records that verify and are no roll-back.
   * @param {Uint8Array[]} raw
   * @param {{byHub?: boolean}} [options] whether they are all that the hub gives
   * @returns {Promise<{reason: string, detail: string, ownership?: object}[]>} what was refused, and why
   */
  async takeAll(raw, { byHub = false } = {}) {
    const refused = [];
    const good = [];
    for (const bytes of raw) {
      try {
        good.push(await this.#verify(bytes));
      } catch (err) {
        if (!(err instanceof Refusal)) throw err;
        refused.push({ reason: err.reason, detail: err.detail });
      }
    }
    good.sort((a, b) => a.record.epoch - b.record.epoch || a.record.revision - b.record.revision);
    for (const ownership of good) {
      const err = this.#take(ownership);
      if (err) refused.push({ reason: err.reason, detail: err.detail, ownership });
    }
    if (byHub) this.#noteGiven(good);
    this.#save();
    return refused;
  }
  /** Notes the newest record of each camera that the hub gave, and whether it still does. */
  #noteGiven(good) {
    this.#isGiven = new Set(good.map(({ hash }) => hash));
    for (const camera of this.#cameras.values()) {
      if (this.#isGiven.has(camera.hash)) camera.given = { epoch: camera.epoch, revision: camera.revision, hash: camera.hash };
    }
  }
  /** The newest record of each camera that the hub ever gave, and whether its last answer had it. */
  given() {
    return [...this.#cameras].filter(([, { given }]) => given).map(([device, { given }]) => ({ device, given, isGiven: this.#isGiven.has(given.hash) }));
  }
  async #verify(bytes) {
    const ownership = await parseOwnership(bytes);
    await verifyOwnership(ownership);
    if (ownership.record.owner !== this.#owner) throw refuse("wrong-owner", "an ownership record of another owner");
    return ownership;
  }
  #take(ownership) {
    const { device, epoch, revision } = ownership.record;
    const known = this.#cameras.get(device);
    if (known?.hash === ownership.hash) {
      known.ownership = ownership;
      return null;
    }
    if (known?.records.get(ownership.hash) === epoch) return null;
    if (known && known.epoch === epoch && known.revision === revision) {
      return refuse("fork", `two ownership records of camera ${device.slice(0, 8)} with one revision`);
    }
    if (known && (epoch < known.epoch || epoch === known.epoch && revision < known.revision)) {
      return refuse("roll-back", `an ownership record of camera ${device.slice(0, 8)} that is older than the known one`);
    }
    const records = known?.records ?? /* @__PURE__ */ new Map();
    records.set(ownership.hash, epoch);
    while (records.size > MAX_RECORDS_PER_CAMERA) records.delete(records.keys().next().value);
    this.#cameras.set(device, { epoch, revision, hash: ownership.hash, records, ownership, given: known?.given ?? null });
    return null;
  }
  #load() {
    try {
      const { cameras } = JSON.parse(this.#storage.getItem(this.#key) ?? '{"cameras":[]}');
      for (const [device, epoch, revision, hash, records, given] of cameras) {
        this.#cameras.set(device, { epoch, revision, hash, records: new Map(records), ownership: null, given: given ?? null });
      }
    } catch {
      this.pinned = false;
    }
  }
  #save() {
    const cameras = [...this.#cameras].map(([device, c]) => [device, c.epoch, c.revision, c.hash, [...c.records], c.given]);
    try {
      this.#storage.setItem(this.#key, JSON.stringify({ cameras }));
      this.pinned = true;
    } catch {
      this.pinned = false;
    }
  }
};

// transport/hub/page/src/timeline.js
var CameraEvent = class {
  /** @type {Map<number, Stub>} the clip's parts by index */
  parts = /* @__PURE__ */ new Map();
  /** The latest thumbnail: the camera sends a better one at the event's end. @type {Stub|null} */
  thumbnail = null;
  /** @type {Stub|null} the event record, and what it says once opened */
  record = null;
  says = null;
  /** Milliseconds since 1970 by the camera's clock: the last thing captured. */
  end = 0;
  clock = 0;
  /** Whether its record is being read, or was. */
  isDescribed = false;
  #filmed = Infinity;
  #pictured = Infinity;
  constructor(device, id) {
    this.device = device;
    this.id = id;
    this.key = `${device}/${id}`;
  }
  take(stub) {
    const { header } = stub;
    this.#filmed = Math.min(this.#filmed, header.captured);
    if (header.kind === THUMBNAIL) this.#pictured = Math.min(this.#pictured, header.captured);
    this.end = Math.max(this.end, header.captured);
    this.clock = Math.max(this.clock, header.clock);
    if (header.kind === THUMBNAIL && isAfter(header, this.thumbnail?.header)) this.thumbnail = stub;
    if (header.kind === CLIP && !this.parts.has(header.part)) this.parts.set(header.part, stub);
    if (header.kind === EVENT) this.record = stub;
  }
  /** When it began, as end is given: at its first picture, since the clip begins before anything moves. */
  get start() {
    return this.#pictured < Infinity ? this.#pictured : this.#filmed;
  }
  /** Whether the camera said that the clip is whole. */
  get isOver() {
    return this.record !== null || [...this.parts.values()].some((p) => p.header.last);
  }
  /** How many parts the clip has, as far as the camera has said: at least those up to the highest. */
  get partCount() {
    const indices = [...this.parts.keys()];
    return Math.max(indices.length ? Math.max(...indices) + 1 : 0, this.says?.parts ?? 0);
  }
};
function isAfter(a, b) {
  return !b || a.epoch > b.epoch || a.epoch === b.epoch && (a.chain > b.chain || a.chain === b.chain && a.seq > b.seq);
}
var Timeline = class {
  /** @type {Map<string, CameraEvent>} */
  events = /* @__PURE__ */ new Map();
  /** @type {Map<string, {last: Stub, checkpoint: Stub|null, says: object|null}>} by device */
  cameras = /* @__PURE__ */ new Map();
  /** @type {Map<string, Stub>} by place */
  stubs = /* @__PURE__ */ new Map();
  /** When an ownership ended, by the camera's own word. @type {Map<string, {device: string, epoch: number, at: number}>} by device and epoch */
  ended = /* @__PURE__ */ new Map();
  /** Takes a gap item's word that the ownership under which it was sealed has ended. */
  takeEnd({ device, epoch, captured }) {
    const key = `${device}/${epoch}`;
    if (!(captured <= this.ended.get(key)?.at)) this.ended.set(key, { device, epoch, at: captured });
  }
  /** Takes an item that verified, passed the policy and the audit. @returns {CameraEvent|null} the event it is of */
  take(stub) {
    const { header, ref } = stub;
    this.stubs.set(ref, stub);
    this.#takeCamera(stub);
    if (header.event === "") return null;
    const key = `${header.device}/${header.event}`;
    if (!this.events.has(key)) this.events.set(key, new CameraEvent(header.device, header.event));
    const event = this.events.get(key);
    event.take(stub);
    return event;
  }
  #takeCamera(stub) {
    const { header } = stub;
    const camera = this.cameras.get(header.device) ?? { last: stub, checkpoint: null, says: null };
    if (isAfter(header, camera.last.header)) camera.last = stub;
    if (header.kind === CHECKPOINT && isAfter(header, camera.checkpoint?.header)) camera.checkpoint = stub;
    this.cameras.set(header.device, camera);
  }
  /** The events, newest first. */
  sorted() {
    return [...this.events.values()].sort((a, b) => b.start - a.start || (a.key < b.key ? -1 : 1));
  }
};

// transport/hub/page/src/timing.js
var TIMING2 = {
  retry: { first: 250, most: 8e3 },
  // another answer than the one asked for
  outage: { first: 1e3, most: 3e4 },
  // no answer
  stranger: { first: 3e3, most: 3e4 },
  // the hub does not know these keys
  expected: { first: 1e3, most: 2e3 },
  // the same, while a camera is being added
  missing: { first: 1e3, most: 6e4 },
  // a place that the hub says is empty
  devices: 1e4,
  records: 6e4,
  recordsAtMost: 2e3,
  // how often a row may make us ask for records
  confirm: 1e4,
  // what is missing is asked for again before it counts as kept back
  older: 2e3,
  // records that are missing are asked for again
  silent: 6e4,
  // between two looks at a camera from which nothing comes
  wait: 25
  // seconds of a long poll
};

// transport/hub/page/src/withheld.js
var MAX_ENTRIES = 300;
var MAX_REPORTS = 4096;
var MISROUTED = /* @__PURE__ */ new Set(["wrong-owner", "unknown-device", "wrong-epoch", "unknown-record"]);
var Withheld = class {
  /** @type {Entry[]} */
  entries = [];
  total = 0;
  #reported = /* @__PURE__ */ new Map();
  /** @returns {Entry} */
  add({ from, reason, misrouted = "", detail = "", header = null, proof = null, asked = "" }) {
    const entry = { id: ++this.total, time: Date.now(), from, reason, misrouted, detail, header, proof, asked, reported: "no" };
    this.entries.unshift(entry);
    this.entries.length = Math.min(this.entries.length, MAX_ENTRIES);
    return entry;
  }
  /** Says, once for each header hash, that it has still to be reported; later entries go by the first. */
  claim(entry, hash) {
    entry.first = this.#reported.get(hash) ?? entry;
    if (entry.first !== entry) return false;
    this.#reported.set(hash, entry);
    if (this.#reported.size > MAX_REPORTS) this.#reported.delete(this.#reported.keys().next().value);
    return true;
  }
};

// transport/hub/page/src/viewer.js
var ROWS = 200;
var REPORT_TRIES = 4;
var WORKERS = 4;
var URGENCY = { row: 3e15, chain: 2e15, eventRecord: 2, missing: 1, report: 0 };
var Viewer = class extends EventTarget {
  /** "starting", "no-camera", "catching-up", "live" or "offline". */
  state = "starting";
  /** Why, where state is "offline" or "no-camera". */
  trouble = null;
  hub = null;
  /** The hub's word on each device: {online, seen}. */
  presence = /* @__PURE__ */ new Map();
  timeline = new Timeline();
  withheld = new Withheld();
  /** What was wrong with ownership records: {reason, detail}. */
  recordTrouble = [];
  #keys;
  #api;
  #timing;
  #audit = new Audit();
  #seen;
  #inspector;
  #rowsAsked = /* @__PURE__ */ new Set();
  #checkpoints = /* @__PURE__ */ new Map();
  #asker = null;
  #opener = null;
  #cursor = 0;
  #jobs;
  #signal;
  #recordsAt = -Infinity;
  #recordsBusy = null;
  #missingDirty = false;
  #isExpecting = false;
  #hurry = new AbortController();
  #gapsToRead = 0;
  /**
   * @param {object} options
   * @param {import("./keys.js").Keys} options.keys
   * @param {import("./api.js").Client} options.api
   * @param {Storage|null} options.storage where the pins are kept
   * @param {() => number} [options.now] the time, in milliseconds since 1970
   */
  constructor({ keys, api, storage, timing = TIMING2, now = Date.now }) {
    super();
    this.#keys = keys;
    this.#api = api;
    this.#timing = timing;
    this.records = new Records(keys.owner, storage);
    this.home = new Home({ keys, api });
    this.#seen = new Seen(keys.owner, storage);
    this.#inspector = new Inspector({
      audit: this.#audit,
      seen: this.#seen,
      records: this.records,
      timing,
      now,
      ask: (place, ms) => this.#asker.askOnce(place, ms),
      again: (what, ms) => this.#jobs.add(`again ${what}`, URGENCY.missing, () => this.#again(what), ms),
      found: (finding) => this.#changed("finding", finding)
    });
  }
  /** What the hub was caught at. @returns {import("./findings.js").Findings} */
  get findings() {
    return this.#inspector.findings;
  }
  get owner() {
    return this.#keys.owner;
  }
  /** Follows the hub until signal ends it. */
  async run(signal) {
    this.#signal = signal;
    this.#jobs = new Jobs({ workers: WORKERS, signal });
    this.#opener = new Opener({
      api: this.#api,
      identities: this.#keys.identities,
      jobs: this.#jobs,
      retry: this.#timing.retry,
      signal,
      check: (header) => this.#checkPolicy(header),
      withhold: (refusal2, item, asked) => this.#withhold("item", refusal2, item, asked),
      trouble: (err) => this.#afterTrouble(err),
      denied: (stub) => this.#inspector.listedOnly(stub.header)
    });
    this.#asker = new Asker({
      audit: this.#audit,
      jobs: this.#jobs,
      opener: this.#opener,
      urgency: URGENCY.missing,
      timing: this.#timing,
      accept: (item) => this.#accept(item, 0),
      withhold: (refusal2, item, asked) => this.#withhold("item", refusal2, item, asked),
      trouble: (err) => this.#afterTrouble(err),
      changed: (isGiven) => isGiven ? this.#askForMissing() : this.#changed("missing")
    });
    await this.#inspector.begin();
    try {
      await Promise.all([this.#follow(), this.#watchDevices()]);
    } catch (err) {
      if (!signal.aborted) throw err;
    }
  }
  /** Takes what another member has seen: the hub is held to it. @param {object[]} items as parseHeads gives them */
  hearMember(items) {
    this.#inspector.hearMember(items, (header) => this.#failsPolicy(header));
    this.#missingDirty = true;
  }
  /** The heads that this viewer has seen. @returns {import("./seen.js").Head[]} */
  get heads() {
    return this.#seen.heads;
  }
  /** How many different items verified, and how many of them were opened. */
  get counts() {
    return { verified: this.timeline.stubs.size, opened: this.#opener?.opened ?? 0 };
  }
  #changed(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
  #become(state, trouble = null) {
    if (this.state === state && this.trouble?.message === trouble?.message) return;
    this.state = state;
    this.trouble = trouble;
    this.#changed("state");
  }
  async #follow() {
    for (let failures = 0; ; ) {
      try {
        if (failures > 0 || this.hub === null) await this.#greet();
        await this.#readRows();
        failures = 0;
      } catch (err) {
        this.#signal.throwIfAborted();
        if (!(err instanceof APIError)) throw err;
        const stranger = err.status === 403;
        this.#become(stranger ? "no-camera" : "offline", err);
        await this.#pause(backoff(failures++, stranger ? this.#strangerTiming() : this.#timing.outage));
      }
    }
  }
  #strangerTiming() {
    return this.#isExpecting ? this.#timing.expected : this.#timing.stranger;
  }
  /** Sleeps, but not past a hurry. */
  async #pause(ms) {
    const hurry = this.#hurry.signal;
    try {
      await sleep(ms, AbortSignal.any([this.#signal, hurry]));
    } catch (err) {
      if (!hurry.aborted || this.#signal.aborted) throw err;
    }
  }
  /**
   * Says whether a camera is being added: the hub is then asked more often whether it
   * knows one.
   */
  set isExpecting(is) {
    if (this.#isExpecting === is) return;
    this.#isExpecting = is;
    this.#hurry.abort();
    this.#hurry = new AbortController();
  }
  /** Takes an ownership that came by another way than the hub's list. */
  async takeOwnership(bytes) {
    for (const trouble of await this.records.takeAll([bytes])) this.recordTrouble.push(trouble);
    this.#changed("cameras");
  }
  async #greet() {
    const hub = await this.#api.hub(this.#signal);
    if (this.hub !== null && this.hub.id !== hub.id) {
      this.#readAnew();
    }
    this.hub = hub;
    this.#inspector.retention = hub.retention;
    this.#changed("hub");
    await this.#refreshRecords();
    if (this.state !== "live") this.#become("catching-up");
  }
  async #readRows() {
    const wait = this.state === "live" ? this.#timing.wait : 0;
    const { rows, next } = await this.#api.timeline({ after: this.#cursor, limit: ROWS, wait, signal: this.#signal });
    if (rows.length === 0 && next < this.#cursor) return this.#readAnew();
    if (next < this.#cursor || rows.length > 0 && next === this.#cursor) {
      throw new APIError(200, "the hub's time line does not go forward");
    }
    this.#cursor = next;
    const checked = await Promise.all(rows.map(checkRow));
    for (const [i, { cursor }] of rows.entries()) if (await this.#judgeRow(cursor, checked[i])) this.#askForRow(cursor);
    if (rows.length < ROWS) {
      this.#become("live");
      this.#askForMissing();
      this.#examine();
    }
    if (Date.now() - this.#recordsAt > this.#timing.records) await this.#refreshRecords();
  }
  async #watchDevices() {
    for (; ; ) {
      try {
        if (this.state === "live" || this.state === "catching-up") {
          const devices = await this.#api.devices(this.#signal);
          this.presence = new Map(devices.map(({ id, ...word }) => [id, word]));
          if (this.state === "live") this.#inspector.heardDevices(this.presence);
          this.#changed("cameras");
        }
      } catch (err) {
        this.#signal.throwIfAborted();
        if (!(err instanceof APIError)) throw err;
      }
      await sleep(this.state === "live" ? this.#timing.devices : Math.min(500, this.#timing.devices), this.#signal);
    }
  }
  async #refreshRecords() {
    this.#recordsBusy ??= this.#fetchRecords().finally(() => {
      this.#recordsBusy = null;
    });
    await this.#recordsBusy;
  }
  async #fetchRecords() {
    const asked = Date.now();
    const raw = await this.#api.records(this.#signal);
    this.#recordsAt = Date.now();
    this.recordTrouble = await this.records.takeAll(raw, { byHub: true });
    this.#inspector.heardRecords(asked, (header) => this.#failsPolicy(header), this.recordTrouble);
    const heard = await this.home.refresh(this.#seen.household, this.#signal);
    if (heard !== null) this.#inspector.heardHousehold(heard.newest, heard.fork);
    if (heard !== null && this.home.hasMoved) this.#changed("keys");
    this.#changed("cameras");
  }
  /** The reason for which a header fails the policy as the records are now, or "". */
  #failsPolicy(header) {
    try {
      checkPolicy(this.records.policy, header);
      return "";
    } catch (err) {
      return err.reason;
    }
  }
  /** Does again what the inspector wants to see twice. */
  async #again(what) {
    try {
      if (what === "records") await this.#refreshRecords();
    } catch (err) {
      return this.#afterTrouble(err);
    }
    this.#examine();
    return null;
  }
  /** Looks for findings, where nothing is left to be read first. */
  #examine() {
    if (this.state === "live" && this.#rowsAsked.size === 0 && this.#gapsToRead === 0) this.#inspector.examine();
  }
  /** Begins the time line from its beginning: what was taken stays, its rows are other ones. */
  #readAnew() {
    this.#cursor = 0;
    for (const stub of this.timeline.stubs.values()) stub.row = 0;
  }
  #askForRow(cursor) {
    let tries = 0;
    this.#rowsAsked.add(cursor);
    const over2 = () => {
      this.#rowsAsked.delete(cursor);
      this.#examine();
      return null;
    };
    this.#jobs.add(`row ${cursor}`, URGENCY.row, async () => {
      try {
        const { rows } = await this.#api.timeline({ after: cursor - 1, limit: 1, signal: this.#signal });
        if (rows[0]?.cursor !== cursor) return over2();
        if (!await this.#judgeRow(cursor, await checkRow(rows[0]))) return over2();
      } catch (err) {
        return this.#afterTrouble(err) ?? over2();
      }
      return ++tries < TRIES ? backoff(tries, this.#timing.retry) : over2();
    }, backoff(0, this.#timing.retry));
  }
  /** Takes a row that was checked, or withholds it; says whether it should be asked for again. */
  async #judgeRow(cursor, { item, refusal: refusal2 }) {
    try {
      if (refusal2) throw refusal2;
      await this.#checkPolicy(item.header);
      const known = this.timeline.stubs.get(item.ref);
      if (known?.hash === item.hash) return this.#judgeKnown(cursor, known, item);
      this.#accept(item, cursor);
      return false;
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
      this.#withhold("timeline", err, item);
      return err.reason !== "fork" && err.reason !== "broken-chain";
    }
  }
  /** An item that is here already: it came by name, or one of its two rows is swapped. */
  #judgeKnown(cursor, known, item) {
    if (known.row !== cursor && known.row !== 0) {
      this.#withhold("timeline", refuse("replayed", `item ${known.header.seq} was already taken`), item);
      this.#askForRow(known.row);
      known.row = 0;
      return true;
    }
    known.row = cursor;
    return false;
  }
  /** The policy; a camera or record that is not known may be newer than our records. */
  async #checkPolicy(header) {
    try {
      checkPolicy(this.records.policy, header);
    } catch (err) {
      const mine = err.reason !== "wrong-owner";
      if (!mine || Date.now() - this.#recordsAt < this.#timing.recordsAtMost) throw err;
      await this.#refreshRecords();
      checkPolicy(this.records.policy, header);
    }
  }
  #accept(item, row2) {
    const { deviceKey: _, ...header } = item.header;
    if (!this.#audit.has(header)) this.#inspector.fits(header, item.hash);
    this.#audit.add(header, item.hash);
    this.#inspector.took(header, item.hash, item.envelope, { isGap: header.kind === GAP });
    const stub = { header, ref: item.ref, hash: item.hash, row: row2 };
    const event = this.timeline.take(stub);
    this.#asker.came(item.ref);
    this.#missingDirty = true;
    if (header.kind === CHECKPOINT) this.#asker.again();
    if (header.kind === CHECKPOINT || header.kind === GAP) this.#read(stub);
    this.#changed("item", { stub, event });
  }
  /** Opens and reads what the camera says about itself. Events are read when they are looked at. */
  #read(stub) {
    const { device, epoch, chain, seq, kind } = stub.header;
    const name = `${device}/${epoch}/${chain}`;
    if (kind === CHECKPOINT && seq > (this.#checkpoints.get(name)?.header.seq ?? 0)) this.#checkpoints.set(name, stub);
    const isStale = () => kind === CHECKPOINT && this.#checkpoints.get(name) !== stub;
    if (kind === CHECKPOINT && this.state === "catching-up") {
      this.#jobs.add(`checkpoint ${name}`, URGENCY.chain, async () => {
        if (this.state === "catching-up") return 200;
        this.#readNow(this.#checkpoints.get(name), () => false);
        return null;
      }, 100);
      return;
    }
    this.#readNow(stub, isStale);
  }
  async #readNow(stub, isStale) {
    const { header } = stub;
    if (header.kind === GAP) this.#gapsToRead++;
    try {
      const { bytes, item } = await this.open(stub, { urgency: header.kind === EVENT ? URGENCY.eventRecord : URGENCY.chain, isStale });
      if (header.kind === GAP) this.#heardGap(header, bytes);
      if (header.kind === EVENT) this.timeline.events.get(`${header.device}/${header.event}`).says = parseEvent(bytes);
      if (header.kind === CHECKPOINT) this.#heardCheckpoint(stub, bytes, item);
      this.#changed("item", { stub, event: this.timeline.events.get(`${header.device}/${header.event}`) ?? null });
    } catch (err) {
      if (this.#signal.aborted) return;
      if (err instanceof BodyError) this.#withhold("item", refuse("malformed", err.message), stub);
      else if (err instanceof Refusal && err.reason === "broken-chain") this.#withhold("item", err, stub);
    } finally {
      if (header.kind === GAP) this.#gapsToRead--;
    }
    this.#missingDirty = true;
    this.#askForMissing();
    this.#examine();
  }
  #heardGap(header, bytes) {
    const gap = parseGap(bytes);
    this.#inspector.explained(header);
    this.#audit.explain(header, gap);
    if (gap.dropped.some(({ reason }) => reason === "ownership")) this.timeline.takeEnd(header);
  }
  #heardCheckpoint(stub, bytes, item) {
    const says = parseCheckpoint(bytes);
    this.#inspector.heardCheckpoint(stub.header, says, concat(item.envelope, item.body));
    const camera = this.timeline.cameras.get(stub.header.device);
    if (camera.checkpoint === stub) camera.says = says;
  }
  /** Opens an item that was taken: see Opener.open. */
  open(stub, options) {
    return this.#opener.open(stub, options);
  }
  /** Reads what the camera says of an event, once. */
  describe(event) {
    if (event.record === null || event.isDescribed) return;
    event.isDescribed = true;
    this.#readNow(event.record, () => false);
  }
  /** How long to wait after a request failed, null for good. */
  #afterTrouble(err) {
    if (this.#signal.aborted) return null;
    if (err instanceof APIError) return backoff(this.state === "live" ? 0 : 3, this.#timing.outage);
    console.error(err);
    return null;
  }
  #withhold(from, refusal2, item, asked = "") {
    const misrouted = item && "envelope" in item ? this.#failsPolicy(item.header) : "";
    const proof = item?.envelope?.slice() ?? null;
    const header = item?.header ?? null;
    const entry = this.withheld.add({ from, reason: refusal2.reason, misrouted, detail: refusal2.detail, header, proof, asked });
    if (MISROUTED.has(misrouted) && proof !== null) this.#report(entry, item.hash);
    this.#inspector.withheld(entry, item, asked);
    this.#changed("withheld", entry);
  }
  #report(entry, hash) {
    if (!this.withheld.claim(entry, hash)) return;
    entry.reported = "pending";
    let tries = 0;
    this.#jobs.add(`report ${hash}`, URGENCY.report, async () => {
      try {
        await this.#api.report(entry.proof, entry.misrouted, this.#signal);
        entry.reported = "yes";
      } catch (err) {
        if (this.#signal.aborted) return null;
        if (!(err instanceof APIError)) throw err;
        if (++tries < REPORT_TRIES) return backoff(tries, this.#timing.outage);
        entry.reported = "failed";
      }
      this.#changed("withheld", entry);
      return null;
    });
  }
  #askForMissing() {
    if (this.state !== "live" || !this.#missingDirty || this.#gapsToRead > 0) return;
    this.#missingDirty = false;
    this.#asker.askAll();
    this.#changed("missing");
  }
  /** What is not there, in the order of time: see missing.js. */
  notices() {
    const epochs = new Map(this.records.cameras.map(({ device, epoch }) => [device, epoch]));
    return [...missingNotices(this.#audit.missing(), this.timeline, (ref) => this.#asker?.triesFor(ref) ?? 0), ...endNotices(this.timeline, epochs)];
  }
};
async function checkRow({ envelope }) {
  try {
    if (envelope === null) throw refuse("malformed", "the row is no base64url");
    const item = await parseEnvelope(envelope);
    await verifyEnvelope(item);
    return { item, refusal: null };
  } catch (err) {
    if (err instanceof Refusal) return { item: null, refusal: err };
    throw err;
  }
}

// transport/hub/page/src/ui/dom.js
function h(name, properties = {}, ...children2) {
  const [tag, ...classes] = name.split(".");
  const element2 = document.createElement(tag);
  if (classes.length > 0) element2.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (key === "data") Object.assign(element2.dataset, value);
    else if (key === "aria") for (const [k, v] of Object.entries(value)) element2.setAttribute(`aria-${k}`, v);
    else if (key === "role") element2.setAttribute("role", value);
    else if (key.startsWith("on")) element2.addEventListener(key.slice(2), value);
    else element2[key] = value;
  }
  element2.append(...children2.flat().filter((c) => c !== null && c !== void 0 && c !== false));
  return element2;
}
function setText(element2, text) {
  if (element2.textContent !== text) element2.textContent = text;
}
function arrange(parent, nodes) {
  let at = parent.firstChild;
  for (const node of nodes) {
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}
function oncePerFrame(run) {
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      run();
    });
  };
}
function save(parts, type, name) {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 6e4);
}
function facts(pairs) {
  return h("dl.facts", {}, pairs.filter(Boolean).map(([term, ...description]) => h("div", {}, h("dt", {}, term), h("dd", {}, ...description))));
}

// transport/hub/page/src/ui/words.js
var KINDS = {
  [THUMBNAIL]: ["picture", "pictures"],
  [CLIP]: ["part of a clip", "parts of clips"],
  [EVENT]: ["event's description", "events' descriptions"],
  [CHECKPOINT]: ["camera's checkpoint", "cameras' checkpoints"],
  [GAP]: ["camera's note on what it dropped", "cameras' notes on what they dropped"]
};
function kindName(kind, count = 1) {
  return (KINDS[kind] ?? ["item", "items"])[count === 1 ? 0 : 1];
}
var CLOCKS = {
  1: "never set: only the order of things means something",
  2: "not before the time shown: the camera had no clock to ask",
  3: "kept by a battery in the camera",
  4: "set from the network"
};
var CLOCKS_SHORT = { 1: "not set", 2: "uncertain", 3: "battery", 4: "network" };
var PROTECTIONS = {
  1: "a file in the camera: who opens the camera can copy it",
  2: "a security chip in the camera: it cannot be copied"
};
var PROTECTIONS_SHORT = { 1: "file", 2: "security chip" };
var CAUSES = { covered: "view blocked", moved: "camera moved", paired: "first picture" };
var CAUSE_TEXTS = {
  motion: "something moved",
  covered: "something blocked the camera's view",
  moved: "the camera itself was turned or knocked",
  paired: "nothing moved: the camera became yours, and showed what it sees"
};
var DROPPED = {
  budget: "its storage for what was not delivered yet was used up",
  full: "its storage was full",
  corrupt: "its storage was damaged",
  superseded: "better ones took their place",
  ownership: "the camera changed its owner"
};
function noticeText({ type, count, kind, reason, delivered }) {
  if (type === "ended") return "Here your time with this camera ends, by its own word: it was released to another owner, or its button was held. What it records since is not yours, and your keys open none of it.";
  const were = count === 1 ? "was" : "were";
  if (type === "dropped") {
    return `${count} ${kindName(kind, count)} ${were} dropped by the camera: ${DROPPED[reason] ?? `it gives “${reason}” as the reason`}.`;
  }
  const are = `${count} ${count === 1 ? "item is" : "items are"} missing: `;
  if (delivered) return `${are}the camera delivered ${count === 1 ? "it" : "them"}, and the hub did not hand ${count === 1 ? "it" : "them"} out.`;
  return `${are}the hub did not hand ${count === 1 ? "it" : "them"} out. The camera may not have delivered ${count === 1 ? "it" : "them"} yet.`;
}
var MISROUTED2 = {
  "wrong-owner": "belongs to another owner",
  "unknown-device": "comes from a camera that is not yours",
  "wrong-epoch": "is from a time when this camera was not yours",
  "unknown-record": "names an ownership of this camera that nobody has shown to this browser"
};
var BROKEN = {
  "too-large": "larger than anything that a camera sends",
  truncated: "cut off before its end",
  malformed: "not in the form that cameras use",
  "unknown-algorithm": "signed in a way that is not known here",
  unsigned: "without its signature",
  "not-canonical": "written in a form that no camera uses",
  "unknown-version": "of a version that this page does not know",
  "bad-field": "in contradiction to the format's rules",
  "device-mismatch": "under the name of a camera whose key it does not have",
  "bad-signature": "not signed by the camera that it names, or changed since",
  "body-size": "longer than what the camera signed",
  "body-hash": "not what the camera signed: its contents were changed or exchanged"
};
var CHAIN = {
  replayed: "You have it already; the hub answered with it again.",
  fork: "Another one was already taken from its place: the camera or its key was copied, or its storage was put back to an older state.",
  "broken-chain": "It does not follow what came before it.",
  "cannot-decrypt": "It is yours, but none of your keys opens it."
};
function withheldText({ from, reason, misrouted, header }) {
  const thing = header ? `This ${kindName(header.kind)}` : "This";
  const instead = from === "timeline" ? "The hub put it in your time line." : "The hub answered with it instead of yours.";
  if (misrouted) return `${thing} ${MISROUTED2[misrouted]}. It was not shown. ${instead}`;
  if (reason === "not-asked-for") return `${thing} is yours, but it is not the one that was asked for. It was not shown in its place.`;
  if (CHAIN[reason]) return `${thing} was not shown. ${CHAIN[reason]}`;
  return `Something was not shown: it is ${BROKEN[reason] ?? reason}. ${from === "timeline" ? "It came as a row of your time line." : "The hub answered with it."}`;
}
var REPORTED = {
  no: "Not reported.",
  pending: "Being reported to the hub's operator…",
  yes: "Reported to the hub's operator.",
  failed: "Not reported: the hub did not take the report."
};
function reportedText({ reported, first }) {
  return REPORTED[first?.reported ?? reported];
}
function cameraName(device) {
  return `Camera ${device.slice(0, 8)}`;
}
var STATES = {
  starting: "Connecting…",
  "no-camera": "No camera yet",
  "catching-up": "Catching up…",
  live: "Live",
  offline: "Hub not reached"
};
var FINDINGS = {
  replayed: "The hub showed an old recording again as if it were a new one.",
  "dropped-middle": "The hub does not give recordings that your camera delivered.",
  "withheld-tail": "The hub does not give the newest recordings, which are known to exist.",
  "swapped-events": "The hub gave a recording of another event than the one asked for.",
  "swapped-thumbnail": "The hub gave a picture and a recording that do not belong together.",
  fork: "There are two histories of your camera that contradict one another: its memory was copied, or somebody else has its key.",
  "rolled-back": "The hub goes back to an older list of who may see your cameras than the one that it gave before.",
  silent: "The hub says that your camera is connected, but nothing has come from it for more than a quarter of an hour.",
  misrouted: "The hub gave you a recording that is not yours."
};
function findingText(name) {
  return FINDINGS[name] ?? name;
}
var ROLES = { 1: "owner", 2: "viewer", 3: "guest" };
function changeText({ period, dropped, added, removed, altered, renewed, settings }) {
  const names = (members) => members.map(({ name }) => name).join(", ");
  return [
    added.length > 0 && `added ${names(added)}`,
    removed.length > 0 && `removed ${names(removed)}`,
    altered.length > 0 && `changed ${names(altered)}`,
    renewed.length > 0 && `took new keys of ${names(renewed)}`,
    period > 0 && `began period ${period}`,
    dropped.length > 0 && `dropped the keys of period ${dropped.join(", ")}`,
    settings && "set how long periods last and are kept"
  ].filter(Boolean).join("; ") || "changed nothing";
}

// transport/hub/page/src/ui/pairwords.js
var FAILURES = {
  expired: ["The code has expired", "No camera came in ten minutes. Was the camera free, awake and near enough to see the whole code? Make a new code and show it again."],
  cancelled: ["You ended it", "No camera was added. A camera that saw the code has been told to forget it."],
  "rolled-back": ["The camera has forgotten that it was yours", "You have seen a later ownership of this camera than it knows of: its memory was put back to an older state. Hold its button to reset it, then make a new code."],
  "too-many": ["Something disturbs the pairing", "Too many messages came that were not from a camera with your code. Something between you and the camera changes what is sent: try another network, then make a new code."]
};
var CAMERA_FAILURES = {
  expired: ["The camera gave up", "It waited for fifteen minutes for an answer that did not reach it. Is its network up? Make a new code and show it again."],
  "wrong-record": ["The camera refused", "What this page offered is not what the camera asked for. Update both, then make a new code."],
  "too-many": ["The camera was disturbed", "Too many messages reached the camera that were not from you. Something between you and the camera changes what is sent: try another network, then make a new code."],
  cancelled: ["It was ended at the camera", "Make a new code to try again."],
  "rolled-back": ["The camera refused", "Hold its button to reset it, then make a new code."]
};
function failureWords({ reason, theirs }) {
  return (theirs ? CAMERA_FAILURES : FAILURES)[reason] ?? ["It did not work", `The reason given is “${reason}”. Make a new code to try again.`];
}
var STEPS = [
  ["The camera sees the code", "The camera has seen the code"],
  ["You agree with the camera", "You have agreed: the camera is yours"],
  ["Its first picture comes", "Its first picture is here"]
];
function steps(phase, hasPicture) {
  const reached = { begun: 0, agreed: 1, done: hasPicture ? 3 : 2 }[phase] ?? 0;
  return STEPS.map(([pending, done], i) => ({ text: i < reached ? done : pending, state: i < reached ? "done" : i === reached ? "now" : "later" }));
}
function waitingWords(phase) {
  return {
    begun: "Waiting for a camera to see the code…",
    agreed: "A camera has seen the code. Waiting for its word that it is yours…",
    done: "The camera is yours. Waiting for its first picture: move something before it…"
  }[phase] ?? "";
}
function helloFacts(device, { firmware, protection, acquired }) {
  return [
    ["Camera", device],
    ["Firmware", firmware],
    ["Its key", PROTECTIONS[protection]],
    ["Before", { 1: "it had no owner that it knows of", 2: "its owner before released it", 3: "it was reset by its button" }[acquired]]
  ];
}
var RIVAL = "A second camera answered to your code: somebody else saw it, or two of your cameras did. Look carefully whether the picture is what your camera sees.";
var AGAIN = "The camera began anew with a code that it had used: it lost its memory in between. Make a new code and show it to the camera.";
function refusedWords({ count, reason }) {
  return `${count} ${count === 1 ? "message" : "messages"} on the way to you ${count === 1 ? "was" : "were"} changed, mixed up or not from your camera, and ignored (${reason}).`;
}

// transport/hub/page/node_modules/uqr/dist/index.mjs
var QrCodeDataType = /* @__PURE__ */ ((QrCodeDataType2) => {
  QrCodeDataType2[QrCodeDataType2["Border"] = -1] = "Border";
  QrCodeDataType2[QrCodeDataType2["Data"] = 0] = "Data";
  QrCodeDataType2[QrCodeDataType2["Function"] = 1] = "Function";
  QrCodeDataType2[QrCodeDataType2["Position"] = 2] = "Position";
  QrCodeDataType2[QrCodeDataType2["Timing"] = 3] = "Timing";
  QrCodeDataType2[QrCodeDataType2["Alignment"] = 4] = "Alignment";
  return QrCodeDataType2;
})(QrCodeDataType || {});
var LOW = [0, 1];
var MEDIUM = [1, 0];
var QUARTILE = [2, 3];
var HIGH = [3, 2];
var EccMap = {
  L: LOW,
  M: MEDIUM,
  Q: QUARTILE,
  H: HIGH
};
var NUMERIC_REGEX = /^\d*$/;
var ALPHANUMERIC_REGEX = /^[A-Z0-9 $%*+./:-]*$/;
var ALPHANUMERIC_CHARSET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
var MIN_VERSION = 1;
var MAX_VERSION = 40;
var PENALTY_N1 = 3;
var PENALTY_N2 = 3;
var PENALTY_N3 = 40;
var PENALTY_N4 = 10;
var ECC_CODEWORDS_PER_BLOCK = [
  // Version: (note that index 0 is for padding, and is set to an illegal value)
  // 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40    Error correction level
  [-1, 7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28, 28, 28, 30, 30, 26, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30],
  // Low
  [-1, 10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26, 26, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28],
  // Medium
  [-1, 13, 22, 18, 26, 18, 24, 18, 22, 20, 24, 28, 26, 24, 20, 30, 24, 28, 28, 26, 30, 28, 30, 30, 30, 30, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30],
  // Quartile
  [-1, 17, 28, 22, 16, 22, 28, 26, 26, 24, 28, 24, 28, 22, 24, 24, 30, 28, 28, 26, 28, 30, 24, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30]
  // High
];
var NUM_ERROR_CORRECTION_BLOCKS = [
  // Version: (note that index 0 is for padding, and is set to an illegal value)
  // 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40    Error correction level
  [-1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8, 8, 9, 9, 10, 12, 12, 12, 13, 14, 15, 16, 17, 18, 19, 19, 20, 21, 22, 24, 25],
  // Low
  [-1, 1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16, 17, 17, 18, 20, 21, 23, 25, 26, 28, 29, 31, 33, 35, 37, 38, 40, 43, 45, 47, 49],
  // Medium
  [-1, 1, 1, 2, 2, 4, 4, 6, 6, 8, 8, 8, 10, 12, 16, 12, 17, 16, 18, 21, 20, 23, 23, 25, 27, 29, 34, 34, 35, 38, 40, 43, 45, 48, 51, 53, 56, 59, 62, 65, 68],
  // Quartile
  [-1, 1, 1, 2, 4, 4, 4, 5, 6, 8, 8, 11, 11, 16, 16, 18, 16, 19, 21, 25, 25, 25, 34, 30, 32, 35, 37, 40, 42, 45, 48, 51, 54, 57, 60, 63, 66, 70, 74, 77, 81]
  // High
];
var QrCode = class {
  /* -- Constructor (low level) and fields -- */
  // Creates a new QR Code with the given version number,
  // error correction level, data codeword bytes, and mask number.
  // This is a low-level API that most users should not use directly.
  // A mid-level API is the encodeSegments() function.
  constructor(version, ecc, dataCodewords, msk) {
    this.version = version;
    this.ecc = ecc;
    if (version < MIN_VERSION || version > MAX_VERSION)
      throw new RangeError("Version value out of range");
    if (msk < -1 || msk > 7)
      throw new RangeError("Mask value out of range");
    this.size = version * 4 + 17;
    const row2 = Array.from({ length: this.size }).fill(false);
    for (let i = 0; i < this.size; i++) {
      this.modules.push(row2.slice());
      this.types.push(row2.map(() => 0));
    }
    this.drawFunctionPatterns();
    const allCodewords = this.addEccAndInterleave(dataCodewords);
    this.drawCodewords(allCodewords);
    if (msk === -1) {
      let minPenalty = 1e9;
      for (let i = 0; i < 8; i++) {
        this.applyMask(i);
        this.drawFormatBits(i);
        const penalty = this.getPenaltyScore();
        if (penalty < minPenalty) {
          msk = i;
          minPenalty = penalty;
        }
        this.applyMask(i);
      }
    }
    this.mask = msk;
    this.applyMask(msk);
    this.drawFormatBits(msk);
  }
  /* -- Fields -- */
  // The width and height of this QR Code, measured in modules, between
  // 21 and 177 (inclusive). This is equal to version * 4 + 17.
  size;
  // The index of the mask pattern used in this QR Code, which is between 0 and 7 (inclusive).
  // Even if a QR Code is created with automatic masking requested (mask = -1),
  // the resulting object still has a mask value between 0 and 7.
  mask;
  // The modules of this QR Code (false = light, true = dark).
  // Immutable after constructor finishes. Accessed through getModule().
  modules = [];
  types = [];
  /* -- Accessor methods -- */
  // Returns the color of the module (pixel) at the given coordinates, which is false
  // for light or true for dark. The top left corner has the coordinates (x=0, y=0).
  // If the given coordinates are out of bounds, then false (light) is returned.
  getModule(x, y) {
    return x >= 0 && x < this.size && y >= 0 && y < this.size && this.modules[y][x];
  }
  /* -- Private helper methods for constructor: Drawing function modules -- */
  // Reads this object's version field, and draws and marks all function modules.
  drawFunctionPatterns() {
    for (let i = 0; i < this.size; i++) {
      this.setFunctionModule(6, i, i % 2 === 0, QrCodeDataType.Timing);
      this.setFunctionModule(i, 6, i % 2 === 0, QrCodeDataType.Timing);
    }
    this.drawFinderPattern(3, 3);
    this.drawFinderPattern(this.size - 4, 3);
    this.drawFinderPattern(3, this.size - 4);
    const alignPatPos = this.getAlignmentPatternPositions();
    const numAlign = alignPatPos.length;
    for (let i = 0; i < numAlign; i++) {
      for (let j = 0; j < numAlign; j++) {
        if (!(i === 0 && j === 0 || i === 0 && j === numAlign - 1 || i === numAlign - 1 && j === 0))
          this.drawAlignmentPattern(alignPatPos[i], alignPatPos[j]);
      }
    }
    this.drawFormatBits(0);
    this.drawVersion();
  }
  // Draws two copies of the format bits (with its own error correction code)
  // based on the given mask and this object's error correction level field.
  drawFormatBits(mask) {
    const data = this.ecc[1] << 3 | mask;
    let rem = data;
    for (let i = 0; i < 10; i++)
      rem = rem << 1 ^ (rem >>> 9) * 1335;
    const bits = (data << 10 | rem) ^ 21522;
    for (let i = 0; i <= 5; i++)
      this.setFunctionModule(8, i, getBit(bits, i));
    this.setFunctionModule(8, 7, getBit(bits, 6));
    this.setFunctionModule(8, 8, getBit(bits, 7));
    this.setFunctionModule(7, 8, getBit(bits, 8));
    for (let i = 9; i < 15; i++)
      this.setFunctionModule(14 - i, 8, getBit(bits, i));
    for (let i = 0; i < 8; i++)
      this.setFunctionModule(this.size - 1 - i, 8, getBit(bits, i));
    for (let i = 8; i < 15; i++)
      this.setFunctionModule(8, this.size - 15 + i, getBit(bits, i));
    this.setFunctionModule(8, this.size - 8, true);
  }
  // Draws two copies of the version bits (with its own error correction code),
  // based on this object's version field, iff 7 <= version <= 40.
  drawVersion() {
    if (this.version < 7)
      return;
    let rem = this.version;
    for (let i = 0; i < 12; i++)
      rem = rem << 1 ^ (rem >>> 11) * 7973;
    const bits = this.version << 12 | rem;
    for (let i = 0; i < 18; i++) {
      const color = getBit(bits, i);
      const a = this.size - 11 + i % 3;
      const b = Math.floor(i / 3);
      this.setFunctionModule(a, b, color);
      this.setFunctionModule(b, a, color);
    }
  }
  // Draws a 9*9 finder pattern including the border separator,
  // with the center module at (x, y). Modules can be out of bounds.
  drawFinderPattern(x, y) {
    for (let dy = -4; dy <= 4; dy++) {
      for (let dx = -4; dx <= 4; dx++) {
        const dist = Math.max(Math.abs(dx), Math.abs(dy));
        const xx = x + dx;
        const yy = y + dy;
        if (xx >= 0 && xx < this.size && yy >= 0 && yy < this.size)
          this.setFunctionModule(xx, yy, dist !== 2 && dist !== 4, QrCodeDataType.Position);
      }
    }
  }
  // Draws a 5*5 alignment pattern, with the center module
  // at (x, y). All modules must be in bounds.
  drawAlignmentPattern(x, y) {
    for (let dy = -2; dy <= 2; dy++) {
      for (let dx = -2; dx <= 2; dx++) {
        this.setFunctionModule(
          x + dx,
          y + dy,
          Math.max(Math.abs(dx), Math.abs(dy)) !== 1,
          QrCodeDataType.Alignment
        );
      }
    }
  }
  // Sets the color of a module and marks it as a function module.
  // Only used by the constructor. Coordinates must be in bounds.
  setFunctionModule(x, y, isDark, type = QrCodeDataType.Function) {
    this.modules[y][x] = isDark;
    this.types[y][x] = type;
  }
  /* -- Private helper methods for constructor: Codewords and masking -- */
  // Returns a new byte string representing the given data with the appropriate error correction
  // codewords appended to it, based on this object's version and error correction level.
  addEccAndInterleave(data) {
    const ver = this.version;
    const ecl = this.ecc;
    if (data.length !== getNumDataCodewords(ver, ecl))
      throw new RangeError("Invalid argument");
    const numBlocks = NUM_ERROR_CORRECTION_BLOCKS[ecl[0]][ver];
    const blockEccLen = ECC_CODEWORDS_PER_BLOCK[ecl[0]][ver];
    const rawCodewords = Math.floor(getNumRawDataModules(ver) / 8);
    const numShortBlocks = numBlocks - rawCodewords % numBlocks;
    const shortBlockLen = Math.floor(rawCodewords / numBlocks);
    const blocks = [];
    const rsDiv = reedSolomonComputeDivisor(blockEccLen);
    for (let i = 0, k = 0; i < numBlocks; i++) {
      const dat = data.slice(k, k + shortBlockLen - blockEccLen + (i < numShortBlocks ? 0 : 1));
      k += dat.length;
      const ecc = reedSolomonComputeRemainder(dat, rsDiv);
      if (i < numShortBlocks)
        dat.push(0);
      blocks.push(dat.concat(ecc));
    }
    const result = [];
    for (let i = 0; i < blocks[0].length; i++) {
      blocks.forEach((block, j) => {
        if (i !== shortBlockLen - blockEccLen || j >= numShortBlocks)
          result.push(block[i]);
      });
    }
    return result;
  }
  // Draws the given sequence of 8-bit codewords (data and error correction) onto the entire
  // data area of this QR Code. Function modules need to be marked off before this is called.
  drawCodewords(data) {
    if (data.length !== Math.floor(getNumRawDataModules(this.version) / 8))
      throw new RangeError("Invalid argument");
    let i = 0;
    for (let right = this.size - 1; right >= 1; right -= 2) {
      if (right === 6)
        right = 5;
      for (let vert = 0; vert < this.size; vert++) {
        for (let j = 0; j < 2; j++) {
          const x = right - j;
          const upward = (right + 1 & 2) === 0;
          const y = upward ? this.size - 1 - vert : vert;
          if (!this.types[y][x] && i < data.length * 8) {
            this.modules[y][x] = getBit(data[i >>> 3], 7 - (i & 7));
            i++;
          }
        }
      }
    }
  }
  // XORs the codeword modules in this QR Code with the given mask pattern.
  // The function modules must be marked and the codeword bits must be drawn
  // before masking. Due to the arithmetic of XOR, calling applyMask() with
  // the same mask value a second time will undo the mask. A final well-formed
  // QR Code needs exactly one (not zero, two, etc.) mask applied.
  applyMask(mask) {
    if (mask < 0 || mask > 7)
      throw new RangeError("Mask value out of range");
    for (let y = 0; y < this.size; y++) {
      for (let x = 0; x < this.size; x++) {
        let invert;
        switch (mask) {
          case 0:
            invert = (x + y) % 2 === 0;
            break;
          case 1:
            invert = y % 2 === 0;
            break;
          case 2:
            invert = x % 3 === 0;
            break;
          case 3:
            invert = (x + y) % 3 === 0;
            break;
          case 4:
            invert = (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0;
            break;
          case 5:
            invert = x * y % 2 + x * y % 3 === 0;
            break;
          case 6:
            invert = (x * y % 2 + x * y % 3) % 2 === 0;
            break;
          case 7:
            invert = ((x + y) % 2 + x * y % 3) % 2 === 0;
            break;
          default:
            throw new Error("Unreachable");
        }
        if (!this.types[y][x] && invert)
          this.modules[y][x] = !this.modules[y][x];
      }
    }
  }
  // Calculates and returns the penalty score based on state of this QR Code's current modules.
  // This is used by the automatic mask choice algorithm to find the mask pattern that yields the lowest score.
  getPenaltyScore() {
    let result = 0;
    for (let y = 0; y < this.size; y++) {
      let runColor = false;
      let runX = 0;
      const runHistory = [0, 0, 0, 0, 0, 0, 0];
      for (let x = 0; x < this.size; x++) {
        if (this.modules[y][x] === runColor) {
          runX++;
          if (runX === 5)
            result += PENALTY_N1;
          else if (runX > 5)
            result++;
        } else {
          this.finderPenaltyAddHistory(runX, runHistory);
          if (!runColor)
            result += this.finderPenaltyCountPatterns(runHistory) * PENALTY_N3;
          runColor = this.modules[y][x];
          runX = 1;
        }
      }
      result += this.finderPenaltyTerminateAndCount(runColor, runX, runHistory) * PENALTY_N3;
    }
    for (let x = 0; x < this.size; x++) {
      let runColor = false;
      let runY = 0;
      const runHistory = [0, 0, 0, 0, 0, 0, 0];
      for (let y = 0; y < this.size; y++) {
        if (this.modules[y][x] === runColor) {
          runY++;
          if (runY === 5)
            result += PENALTY_N1;
          else if (runY > 5)
            result++;
        } else {
          this.finderPenaltyAddHistory(runY, runHistory);
          if (!runColor)
            result += this.finderPenaltyCountPatterns(runHistory) * PENALTY_N3;
          runColor = this.modules[y][x];
          runY = 1;
        }
      }
      result += this.finderPenaltyTerminateAndCount(runColor, runY, runHistory) * PENALTY_N3;
    }
    for (let y = 0; y < this.size - 1; y++) {
      for (let x = 0; x < this.size - 1; x++) {
        const color = this.modules[y][x];
        if (color === this.modules[y][x + 1] && color === this.modules[y + 1][x] && color === this.modules[y + 1][x + 1]) {
          result += PENALTY_N2;
        }
      }
    }
    let dark = 0;
    for (const row2 of this.modules)
      dark = row2.reduce((sum, color) => sum + (color ? 1 : 0), dark);
    const total = this.size * this.size;
    const k = Math.ceil(Math.abs(dark * 20 - total * 10) / total) - 1;
    result += k * PENALTY_N4;
    return result;
  }
  /* -- Private helper functions -- */
  // Returns an ascending list of positions of alignment patterns for this version number.
  // Each position is in the range [0,177), and are used on both the x and y axes.
  // This could be implemented as lookup table of 40 variable-length lists of integers.
  getAlignmentPatternPositions() {
    if (this.version === 1) {
      return [];
    } else {
      const numAlign = Math.floor(this.version / 7) + 2;
      const step = this.version === 32 ? 26 : Math.ceil((this.version * 4 + 4) / (numAlign * 2 - 2)) * 2;
      const result = [6];
      for (let pos = this.size - 7; result.length < numAlign; pos -= step)
        result.splice(1, 0, pos);
      return result;
    }
  }
  // Can only be called immediately after a light run is added, and
  // returns either 0, 1, or 2. A helper function for getPenaltyScore().
  finderPenaltyCountPatterns(runHistory) {
    const n = runHistory[1];
    const core = n > 0 && runHistory[2] === n && runHistory[3] === n * 3 && runHistory[4] === n && runHistory[5] === n;
    return (core && runHistory[0] >= n * 4 && runHistory[6] >= n ? 1 : 0) + (core && runHistory[6] >= n * 4 && runHistory[0] >= n ? 1 : 0);
  }
  // Must be called at the end of a line (row or column) of modules. A helper function for getPenaltyScore().
  finderPenaltyTerminateAndCount(currentRunColor, currentRunLength, runHistory) {
    if (currentRunColor) {
      this.finderPenaltyAddHistory(currentRunLength, runHistory);
      currentRunLength = 0;
    }
    currentRunLength += this.size;
    this.finderPenaltyAddHistory(currentRunLength, runHistory);
    return this.finderPenaltyCountPatterns(runHistory);
  }
  // Pushes the given value to the front and drops the last value. A helper function for getPenaltyScore().
  finderPenaltyAddHistory(currentRunLength, runHistory) {
    if (runHistory[0] === 0)
      currentRunLength += this.size;
    runHistory.pop();
    runHistory.unshift(currentRunLength);
  }
};
function appendBits(val, len, bb) {
  if (len < 0 || len > 31 || val >>> len !== 0)
    throw new RangeError("Value out of range");
  for (let i = len - 1; i >= 0; i--)
    bb.push(val >>> i & 1);
}
function getBit(x, i) {
  return (x >>> i & 1) !== 0;
}
var QrSegment = class {
  // Creates a new QR Code segment with the given attributes and data.
  // The character count (numChars) must agree with the mode and the bit buffer length,
  // but the constraint isn't checked. The given bit buffer is cloned and stored.
  constructor(mode, numChars, bitData) {
    this.mode = mode;
    this.numChars = numChars;
    this.bitData = bitData;
    if (numChars < 0)
      throw new RangeError("Invalid argument");
    this.bitData = bitData.slice();
  }
  /* -- Methods -- */
  // Returns a new copy of the data bits of this segment.
  getData() {
    return this.bitData.slice();
  }
};
var MODE_NUMERIC = [1, 10, 12, 14];
var MODE_ALPHANUMERIC = [2, 9, 11, 13];
var MODE_BYTE = [4, 8, 16, 16];
function numCharCountBits(mode, ver) {
  return mode[Math.floor((ver + 7) / 17) + 1];
}
function makeBytes(data) {
  const bb = [];
  for (const b of data)
    appendBits(b, 8, bb);
  return new QrSegment(MODE_BYTE, data.length, bb);
}
function makeNumeric(digits) {
  if (!isNumeric(digits))
    throw new RangeError("String contains non-numeric characters");
  const bb = [];
  for (let i = 0; i < digits.length; ) {
    const n = Math.min(digits.length - i, 3);
    appendBits(Number.parseInt(digits.substring(i, i + n), 10), n * 3 + 1, bb);
    i += n;
  }
  return new QrSegment(MODE_NUMERIC, digits.length, bb);
}
function makeAlphanumeric(text) {
  if (!isAlphanumeric(text))
    throw new RangeError("String contains unencodable characters in alphanumeric mode");
  const bb = [];
  let i;
  for (i = 0; i + 2 <= text.length; i += 2) {
    let temp = ALPHANUMERIC_CHARSET.indexOf(text.charAt(i)) * 45;
    temp += ALPHANUMERIC_CHARSET.indexOf(text.charAt(i + 1));
    appendBits(temp, 11, bb);
  }
  if (i < text.length)
    appendBits(ALPHANUMERIC_CHARSET.indexOf(text.charAt(i)), 6, bb);
  return new QrSegment(MODE_ALPHANUMERIC, text.length, bb);
}
function makeSegments(text) {
  if (text === "")
    return [];
  else if (isNumeric(text))
    return [makeNumeric(text)];
  else if (isAlphanumeric(text))
    return [makeAlphanumeric(text)];
  else
    return [makeBytes(toUtf8ByteArray(text))];
}
function isNumeric(text) {
  return NUMERIC_REGEX.test(text);
}
function isAlphanumeric(text) {
  return ALPHANUMERIC_REGEX.test(text);
}
function getTotalBits(segs, version) {
  let result = 0;
  for (const seg of segs) {
    const ccbits = numCharCountBits(seg.mode, version);
    if (seg.numChars >= 1 << ccbits)
      return Number.POSITIVE_INFINITY;
    result += 4 + ccbits + seg.bitData.length;
  }
  return result;
}
function toUtf8ByteArray(str) {
  str = encodeURI(str);
  const result = [];
  for (let i = 0; i < str.length; i++) {
    if (str.charAt(i) !== "%") {
      result.push(str.charCodeAt(i));
    } else {
      result.push(Number.parseInt(str.substring(i + 1, i + 3), 16));
      i += 2;
    }
  }
  return result;
}
function getNumRawDataModules(ver) {
  if (ver < MIN_VERSION || ver > MAX_VERSION)
    throw new RangeError("Version number out of range");
  let result = (16 * ver + 128) * ver + 64;
  if (ver >= 2) {
    const numAlign = Math.floor(ver / 7) + 2;
    result -= (25 * numAlign - 10) * numAlign - 55;
    if (ver >= 7)
      result -= 36;
  }
  return result;
}
function getNumDataCodewords(ver, ecl) {
  return Math.floor(getNumRawDataModules(ver) / 8) - ECC_CODEWORDS_PER_BLOCK[ecl[0]][ver] * NUM_ERROR_CORRECTION_BLOCKS[ecl[0]][ver];
}
function reedSolomonComputeDivisor(degree) {
  if (degree < 1 || degree > 255)
    throw new RangeError("Degree out of range");
  const result = [];
  for (let i = 0; i < degree - 1; i++)
    result.push(0);
  result.push(1);
  let root = 1;
  for (let i = 0; i < degree; i++) {
    for (let j = 0; j < result.length; j++) {
      result[j] = reedSolomonMultiply(result[j], root);
      if (j + 1 < result.length)
        result[j] ^= result[j + 1];
    }
    root = reedSolomonMultiply(root, 2);
  }
  return result;
}
function reedSolomonComputeRemainder(data, divisor) {
  const result = divisor.map((_) => 0);
  for (const b of data) {
    const factor = b ^ result.shift();
    result.push(0);
    divisor.forEach((coef, i) => result[i] ^= reedSolomonMultiply(coef, factor));
  }
  return result;
}
function reedSolomonMultiply(x, y) {
  if (x >>> 8 !== 0 || y >>> 8 !== 0)
    throw new RangeError("Byte out of range");
  let z = 0;
  for (let i = 7; i >= 0; i--) {
    z = z << 1 ^ (z >>> 7) * 285;
    z ^= (y >>> i & 1) * x;
  }
  return z;
}
function encodeSegments(segs, ecl, minVersion = 1, maxVersion = 40, mask = -1, boostEcl = true) {
  if (!(MIN_VERSION <= minVersion && minVersion <= maxVersion && maxVersion <= MAX_VERSION) || mask < -1 || mask > 7) {
    throw new RangeError("Invalid value");
  }
  let version;
  let dataUsedBits;
  for (version = minVersion; ; version++) {
    const dataCapacityBits2 = getNumDataCodewords(version, ecl) * 8;
    const usedBits = getTotalBits(segs, version);
    if (usedBits <= dataCapacityBits2) {
      dataUsedBits = usedBits;
      break;
    }
    if (version >= maxVersion)
      throw new RangeError("Data too long");
  }
  for (const newEcl of [MEDIUM, QUARTILE, HIGH]) {
    if (boostEcl && dataUsedBits <= getNumDataCodewords(version, newEcl) * 8)
      ecl = newEcl;
  }
  const bb = [];
  for (const seg of segs) {
    appendBits(seg.mode[0], 4, bb);
    appendBits(seg.numChars, numCharCountBits(seg.mode, version), bb);
    for (const b of seg.getData())
      bb.push(b);
  }
  const dataCapacityBits = getNumDataCodewords(version, ecl) * 8;
  appendBits(0, Math.min(4, dataCapacityBits - bb.length), bb);
  appendBits(0, (8 - bb.length % 8) % 8, bb);
  for (let padByte = 236; bb.length < dataCapacityBits; padByte ^= 236 ^ 17)
    appendBits(padByte, 8, bb);
  const dataCodewords = Array.from({ length: Math.ceil(bb.length / 8) }, () => 0);
  bb.forEach((b, i) => dataCodewords[i >>> 3] |= b << 7 - (i & 7));
  return new QrCode(version, ecl, dataCodewords, mask);
}
function encode2(data, options) {
  const {
    ecc = "L",
    boostEcc = false,
    minVersion = 1,
    maxVersion = 40,
    maskPattern = -1,
    border = 1
  } = options || {};
  const segment = typeof data === "string" ? makeSegments(data) : Array.isArray(data) ? [makeBytes(data)] : void 0;
  if (!segment)
    throw new Error(`uqr only supports encoding string and binary data, but got: ${typeof data}`);
  const qr = encodeSegments(
    segment,
    EccMap[ecc],
    minVersion,
    maxVersion,
    maskPattern,
    boostEcc
  );
  const result = addBorder({
    version: qr.version,
    maskPattern: qr.mask,
    size: qr.size,
    data: qr.modules,
    types: qr.types
  }, border);
  if (options?.invert)
    result.data = result.data.map((row2) => row2.map((mod) => !mod));
  options?.onEncoded?.(result);
  return result;
}
function addBorder(input, border = 1) {
  if (!border)
    return input;
  const { size } = input;
  const newSize = size + border * 2;
  input.size = newSize;
  input.data.forEach((row2) => {
    for (let i = 0; i < border; i++) {
      row2.unshift(false);
      row2.push(false);
    }
  });
  for (let i = 0; i < border; i++) {
    input.data.unshift(Array.from({ length: newSize }, (_) => false));
    input.data.push(Array.from({ length: newSize }, (_) => false));
  }
  const b = QrCodeDataType.Border;
  input.types.forEach((row2) => {
    for (let i = 0; i < border; i++) {
      row2.unshift(b);
      row2.push(b);
    }
  });
  for (let i = 0; i < border; i++) {
    input.types.unshift(Array.from({ length: newSize }, (_) => b));
    input.types.push(Array.from({ length: newSize }, (_) => b));
  }
  return input;
}

// transport/hub/page/src/ui/qr.js
var SVG = "http://www.w3.org/2000/svg";
var QUIET = 4;
function qrCode(text, label) {
  const { data } = encode2(text, { ecc: "L", border: QUIET });
  const size = data.length;
  const svg = element("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges" });
  svg.append(element("rect", { width: size, height: size, fill: "#fff" }), element("path", { d: data.map(rowPath).join(""), fill: "#000" }));
  return svg;
}
function element(name, attributes) {
  const out = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) out.setAttribute(key, value);
  return out;
}
function rowPath(row2, y) {
  let path = "";
  for (let x = 0; x < row2.length; x++) {
    if (!row2[x]) continue;
    let end = x;
    while (row2[end]) end++;
    path += `M${x} ${y}h${end - x}v1h${x - end}z`;
    x = end;
  }
  return path;
}

// transport/hub/page/src/ui/add.js
var AddView = class {
  #desk;
  #viewer;
  #pictures;
  #keys;
  #gotRoot;
  #shown = "";
  #live = {};
  #wake = null;
  /**
   * @param {object} options
   * @param {import("../pairing/desk.js").PairingDesk} options.desk
   * @param {import("../viewer.js").Viewer} options.viewer
   * @param {import("./pictures.js").Pictures} options.pictures
   * @param {import("../keys.js").Keys} options.keys
   * @param {(keys: import("../keys.js").Keys) => void} options.gotRoot told when a
   *   file with the root key was chosen
   */
  constructor({ desk, viewer, pictures, keys, gotRoot }) {
    this.#desk = desk;
    this.#viewer = viewer;
    this.#pictures = pictures;
    this.#keys = keys;
    this.#gotRoot = gotRoot;
    this.element = h("section.add", { aria: { label: "Add a camera" } });
  }
  render() {
    const screen = this.#screen();
    if (screen !== this.#shown) {
      this.#shown = screen;
      this.#live = {};
      this.element.dataset.screen = screen;
      this.element.replaceChildren(...this[`${screen}Screen`]());
      if (this.element.isConnected) this.element.querySelector("h2")?.focus();
      this.#keepAwake(screen === "code");
    }
    this.#live.update?.();
  }
  #screen() {
    const { isElsewhere, canPair, session, answer } = this.#desk;
    if (isElsewhere) return "elsewhere";
    if (!canPair) return "rootless";
    if (session === null) return "form";
    if (answer === "mine") return "added";
    if (answer === "other") return "other";
    const { phase } = session.memory;
    if (phase === "failed") return "failed";
    if (phase === "begun") return "code";
    return this.#desk.firstPicture ? "picture" : "progress";
  }
  /** A screen that sleeps shows no code. */
  async #keepAwake(on) {
    this.#wake?.then((lock) => lock?.release()).catch(() => void 0);
    this.#wake = on ? navigator.wakeLock?.request("screen").catch(() => null) ?? null : null;
  }
  elsewhereScreen() {
    return [title("Add a camera"), h("p", {}, "A camera is being added in another tab of this browser. Go on there, or close it.")];
  }
  rootlessScreen() {
    const error = h("p.warning", { role: "alert", hidden: true });
    const file = h("input", { type: "file", id: "root-file", accept: ".json,application/json", onchange: () => this.#takeRoot(file, error) });
    return [
      title("Add a camera"),
      h("p", {}, "The keys in this browser can look, and cannot make a camera yours: the root key is not among them."),
      h("p", {}, "Choose the copy of your keys that was saved when they were made in a browser. Or pair the camera where your root key is, with ", h("code", {}, "lensctl pair"), "."),
      error,
      h("div.file-choice", {}, h("label.button.primary", { htmlFor: "root-file" }, "Choose the copy"), file)
    ];
  }
  async #takeRoot(input, error) {
    const [file] = input.files;
    if (!file) return;
    try {
      if (file.size > MAX_FILE_SIZE) throw new KeysError("The file is too large to be an owner's keys.");
      const keys = await parseKeys(await file.text());
      if (keys.rootKey === null) throw new KeysError("This file has no root key either: it is an export for looking.");
      if (keys.owner !== this.#keys.owner) throw new KeysError("This is another owner's file.");
      this.#gotRoot(keys);
    } catch (err) {
      setText(error, err instanceof KeysError ? err.message : `The file could not be read: ${err.message}`);
      error.hidden = false;
      input.value = "";
    }
  }
  formScreen() {
    const error = h("p.warning", { role: "alert", hidden: true });
    const hub = h("p.quiet");
    const wifi = wifiFields();
    const go = h("button.primary", { type: "submit" }, "Show the code");
    const form = h("form.add-form", {
      onsubmit: (e) => {
        e.preventDefault();
        this.#begin(wifi, error, go);
      }
    }, wifi.element, hub, error, go);
    this.#live.update = () => {
      go.disabled = this.#viewer.hub === null;
      setText(hub, hubText(this.#viewer.hub));
    };
    return [
      title("Add a camera"),
      h("p.lead", {}, "This page shows a code. Hold it before the camera's lens: the camera reads it, and both prove to each other that they have it. Nobody in between can, not even the hub."),
      h("p", {}, "The camera must be free: new, released by its owner, or with its button held."),
      form
    ];
  }
  async #begin(wifi, error, go) {
    error.hidden = true;
    go.disabled = true;
    try {
      await this.#desk.begin({ wifi: wifi.read() });
    } catch (err) {
      const why = err instanceof FieldError ? err.message : err instanceof Refusal ? `No code can be made of this: ${err.detail}.` : `This browser could not keep the pairing (${err.message}), and without that none is begun.`;
      setText(error, why);
      error.hidden = false;
      go.disabled = false;
      err.field?.focus();
    }
  }
  codeScreen() {
    const { text } = this.#desk.session.memory;
    const code = qrCode(text, "The pairing code. Hold it before the camera's lens.");
    code.id = "pair-code";
    code.dataset.code = text;
    const left = h("p.countdown", { role: "timer" });
    const figure = h("figure.code", {}, code);
    const status = this.#status();
    this.#live.update = () => {
      status.update();
      setText(left, leftText(this.#desk.session.memory.expires));
    };
    return [
      title("Show this to the camera"),
      h("div.code-columns", {}, figure, h(
        "div.code-side",
        {},
        h("p", {}, "Hold the screen a hand's breadth or two before the lens, so that the camera sees the whole code. Turn the brightness up, and avoid reflections."),
        left,
        status.element,
        h(
          "div.actions",
          {},
          document.fullscreenEnabled && h("button", { type: "button", onclick: () => figure.requestFullscreen() }, "Full screen"),
          h("button", { type: "button", onclick: () => this.#desk.session.cancel() }, "Cancel")
        ),
        h("p.quiet", {}, "Whoever films this code can answer in your camera's place. Show it where nobody else sees it."),
        h(
          "details",
          {},
          h("summary", {}, "The code as text"),
          h("p", {}, "For a camera without a lens free: ", h("code", {}, "lensward pair --code -"), " reads it."),
          h("code.code-text", {}, text)
        )
      ))
    ];
  }
  progressScreen() {
    const status = this.#status();
    const stop = h("button", { type: "button", onclick: () => this.#desk.close() }, "Stop waiting");
    const anew = h("button.primary", { type: "button", onclick: () => this.#desk.close() }, "Make a new code");
    const { device, hello } = this.#desk.session.memory;
    const heading = title("");
    this.#live.update = () => {
      status.update();
      setText(heading, this.#desk.session.memory.phase === "done" ? "The camera is yours" : "The camera has seen the code");
      const { again, phase } = this.#desk.session.memory;
      anew.hidden = !again || phase !== "agreed";
      stop.hidden = !this.#desk.isStale || !anew.hidden;
    };
    return [heading, status.element, facts(helloFacts(device, hello)), h("div.actions", {}, anew, stop)];
  }
  /** The steps, what is waited for, and what is wrong. */
  #status() {
    const list2 = h("ol.steps");
    const waiting = h("p.waiting", { role: "status" });
    const warnings = h("div.warnings", { role: "alert" });
    const said = {};
    const update = () => {
      const { session, firstPicture } = this.#desk;
      const { phase, rival, again } = session.memory;
      const all = steps(phase, firstPicture !== null);
      if (said.steps !== phase) {
        said.steps = phase;
        list2.replaceChildren(...all.map(({ text, state }) => h(
          "li",
          { data: { state } },
          text,
          h("span.unseen", {}, { done: " (done)", now: " (next)", later: "" }[state])
        )));
      }
      setText(waiting, waitingWords(phase));
      const lines = [rival && RIVAL, again && phase === "agreed" && AGAIN, session.trouble, session.refused.count > 0 && refusedWords(session.refused)].filter(Boolean);
      if (said.lines !== lines.join()) {
        said.lines = lines.join();
        warnings.replaceChildren(...lines.map((line) => h("p.warning", {}, line)));
      }
    };
    return { element: h("div.pair-status", {}, list2, waiting, warnings), update };
  }
  failedScreen() {
    const [heading, advice] = failureWords(this.#desk.session.memory);
    return [
      title(heading),
      h("p.warning", { role: "alert", data: { reason: this.#desk.session.memory.reason } }, advice),
      h(
        "div.actions",
        {},
        h("button.primary", { type: "button", onclick: () => this.#desk.close() }, "Make a new code"),
        h("a.button", { href: "#/events" }, "Not now")
      )
    ];
  }
  pictureScreen() {
    const { device, rival } = this.#desk.session.memory;
    const image = h("img", { alt: "The first picture of the camera that was added", hidden: true });
    const placeholder = h("span.placeholder", {}, "Opening…");
    this.#live.update = () => {
      const event = this.#desk.firstPicture;
      if (event === null) return;
      const { url, failure } = this.#pictures.of(event);
      if (url && image.src !== url) image.src = url;
      image.hidden = !url;
      setText(placeholder, failure ? "Not shown: what came instead was withheld or could not be opened" : url ? "" : "Opening…");
    };
    return [
      title("Is this what your camera sees?"),
      rival !== "" && h("p.warning", { role: "alert" }, RIVAL),
      h("figure.picture.first", {}, placeholder, image),
      h("p", {}, "Look for the room where you stand. A camera that somebody else put in the place of yours would show another."),
      h(
        "div.actions",
        {},
        h("button.primary", { type: "button", onclick: () => this.#desk.say("mine") }, "Yes, it is my camera"),
        h("button", { type: "button", onclick: () => this.#desk.say("other") }, "No")
      ),
      h("p.quiet", {}, "Camera ", h("code", {}, device))
    ].filter(Boolean);
  }
  addedScreen() {
    return [
      title("The camera is yours"),
      h("p", {}, "What it sees is signed by it and encrypted to you. It appears under “Events” by itself."),
      h("div.actions", {}, h("a.button.primary", { href: "#/events" }, "To the events"), h("button", { type: "button", onclick: () => this.#desk.close() }, "Add another camera"))
    ];
  }
  otherScreen() {
    const said = h("p", { role: "status" });
    const drop = h("button.primary", { type: "button", onclick: () => this.#desk.throwAway() }, "Throw this pairing away");
    const back = h("button", { type: "button", onclick: () => this.#desk.say("") }, "Back: it is my camera after all");
    const anew = h("button", { type: "button", onclick: () => this.#desk.close() }, "Make a new code");
    this.#live.update = () => {
      const { thrown } = this.#desk;
      drop.hidden = thrown === "sent";
      drop.disabled = thrown === "sending";
      back.hidden = thrown !== "";
      anew.hidden = thrown === "" || thrown === "sending";
      setText(said, thrownText(thrown));
    };
    return [
      title("Then it is not your camera"),
      h("p", {}, "Another camera saw your code and answered before yours: one on the same table or behind a window, or one that somebody put there. It is yours now by signature, and its pictures are of a place that is not your business."),
      h("p", {}, "Throw the pairing away: this browser signs that the camera is nobody's, hides what it sent, and leaves the word with the hub, which passes it on. Then show a new code where no other camera sees it."),
      said,
      h("div.actions", {}, drop, back, anew)
    ];
  }
};
function title(text) {
  return h("h2", { tabIndex: -1 }, text);
}
function thrownText(thrown) {
  if (thrown === "") return "";
  if (thrown === "sending") return "Leaving the word with the hub…";
  if (thrown === "sent") return "It is thrown away. The camera is told when it is there the next time.";
  return `What it sent is hidden here, but the hub did not take the word for it: ${thrown}. Try again.`;
}
function leftText(expires) {
  const left = Math.max(0, expires - Math.floor(Date.now() / 1e3));
  return `The code is good for ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
}
function hubText(hub) {
  if (hub === null) return "Waiting for the hub…";
  if (hub.devices.length === 0) return "The hub does not say where cameras reach it, so the code will not either: the camera must have its hub already.";
  const here = hub.devices.every((address) => /^(127\.|localhost:|\[::1\])/.test(address));
  return `The camera will deliver to ${hub.devices.join(", ")}.${here ? " That is this machine alone: a camera elsewhere does not reach it." : ""}`;
}
var FieldError = class extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
};
function wifiFields() {
  const name = h("input", { type: "text", id: "wifi-name", autocomplete: "off", spellcheck: false, maxLength: 32 });
  const passphrase = h("input", { type: "password", id: "wifi-passphrase", autocomplete: "off", maxLength: 63 });
  const show = h("input", { type: "checkbox", id: "wifi-show", onchange: () => {
    passphrase.type = show.checked ? "text" : "password";
  } });
  const hidden = h("input", { type: "checkbox", id: "wifi-hidden" });
  const row2 = (input, text) => h("div.field", {}, h("label", { htmlFor: input.id }, text), input);
  const tick = (input, text) => h("div.tick", {}, input, h("label", { htmlFor: input.id }, text));
  const element2 = h(
    "details.wifi",
    {},
    h("summary", {}, "The camera needs Wi-Fi"),
    row2(name, "Network name"),
    row2(passphrase, "Passphrase"),
    tick(show, "Show the passphrase"),
    tick(hidden, "The network is hidden"),
    h("p.quiet", {}, "They are in the code alone, are never sent, and are forgotten here when a camera has seen it. Leave the passphrase empty for an open network.")
  );
  const read2 = () => {
    if (!element2.open || name.value === "") {
      if (element2.open && passphrase.value !== "") throw new FieldError(name, "Give the network's name, too.");
      return null;
    }
    const ssid = utf8(name.value);
    if (ssid.length > 32) throw new FieldError(name, "A network's name is at most 32 bytes long.");
    if (passphrase.value !== "" && !isPassphrase(passphrase.value)) {
      throw new FieldError(passphrase, "A Wi-Fi passphrase is 8 to 63 letters, digits and signs of the plain keyboard.");
    }
    return { ssid, passphrase: passphrase.value, hidden: hidden.checked };
  };
  return { element: element2, read: read2 };
}

// transport/hub/page/src/ui/time.js
var DAY = new Intl.DateTimeFormat(void 0, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
var TIME = new Intl.DateTimeFormat(void 0, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
var FULL = new Intl.DateTimeFormat(void 0, { dateStyle: "medium", timeStyle: "medium" });
function dayKey(ms) {
  const d = new Date(ms);
  return d.getFullYear() * 1e4 + (d.getMonth() + 1) * 100 + d.getDate();
}
function dayText(ms, now = Date.now()) {
  if (dayKey(ms) === dayKey(now)) return "Today";
  if (dayKey(ms) === dayKey(now - 864e5)) return "Yesterday";
  return safely(DAY, ms);
}
var timeText = (ms) => safely(TIME, ms);
var fullText = (ms) => safely(FULL, ms);
function safely(format, ms) {
  return Math.abs(ms) <= 864e13 ? format.format(ms) : "a time beyond the calendar";
}
function agoText(ms, now = Date.now()) {
  const s = Math.round((now - ms) / 1e3);
  if (s < -60) return `${fullText(ms)}, which is in the future by this browser's clock`;
  if (s < 5) return "just now";
  if (s < 90) return `${s} s ago`;
  if (s < 5400) return `${Math.round(s / 60)} min ago`;
  if (s < 129600) return `${Math.round(s / 3600)} h ago`;
  return `${Math.round(s / 86400)} days ago`;
}
function lengthText(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}

// transport/hub/page/src/ui/cameras.js
var CamerasView = class {
  #viewer;
  #given;
  #list = h("ul.cameras");
  #trouble = h("div.record-trouble");
  /** @param {import("../viewer.js").Viewer} viewer @param {import("../pairing/desk.js").GivenAway} given */
  constructor(viewer, given) {
    this.#viewer = viewer;
    this.#given = given;
    this.element = h(
      "section.cameras-view",
      { aria: { label: "Cameras" } },
      h("h2", {}, "Cameras"),
      this.#list,
      this.#trouble,
      h("a.button", { href: "#/add" }, "Add a camera")
    );
  }
  render() {
    const cameras = this.#viewer.records.cameras;
    arrange(this.#list, cameras.length > 0 ? cameras.map((camera) => this.#camera(camera)) : [h("li.quiet", {}, "No camera is paired with your keys yet.")]);
    arrange(this.#trouble, this.#viewer.recordTrouble.map(({ reason, detail }) => h("p.warning", { data: { reason } }, `The hub answered with an ownership record that was refused: ${detail || reason}.`)));
  }
  #camera({ device, epoch, ownership }) {
    const presence = this.#viewer.presence.get(device);
    const known = this.#viewer.timeline.cameras.get(device);
    const header = known?.last.header;
    const protection = header?.protection ?? ownership?.acceptance.protection;
    const online = presence ? presence.online ? "online" : "offline" : "not known";
    return h(
      "li.camera-card",
      { data: { online, device } },
      h("h3", { title: device }, h("span.dot", { aria: { hidden: "true" } }), cameraName(device)),
      this.#given.has(device, epoch) && h("p.quiet", {}, "You threw this pairing away: it was not your camera. What it sends is hidden."),
      facts([
        ["The hub says", presence?.seen && !presence.online ? `${online}, last seen ${agoText(presence.seen * 1e3)}` : online],
        ["It last signed", header ? h("span", { title: fullText(header.captured) }, agoText(header.captured)) : "nothing yet"],
        header && ["Its clock", h("span", { title: CLOCKS[header.clock] }, CLOCKS_SHORT[header.clock])],
        protection && ["Its key", h("span", { title: PROTECTIONS[protection] }, PROTECTIONS_SHORT[protection])],
        header && ["Firmware", header.firmware],
        known?.says && ["Waiting in it", waitingText(known.says)]
      ])
    );
  }
};
function waitingText({ depth, dropped, aside }) {
  const words = [depth === 0 ? "nothing" : `${depth} ${depth === 1 ? "item" : "items"}`];
  if (dropped > 0) words.push(`${dropped} dropped`);
  if (aside > 0) words.push(`${aside} refused by the hub`);
  return words.join(", ");
}

// transport/hub/page/src/mp4.js
var MAX_SAMPLES_PER_PIECE = 2e4;
var MAX_BOXES = 5e4;
var JPEG_OBJECT_TYPE = 108;
var MP4Error = class extends Error {
  constructor(message) {
    super(`MP4: ${message}`);
    this.name = "MP4Error";
  }
};
var Track = class {
  /** "h264" or "mjpeg". */
  codec;
  /** What MediaSource is asked for: video/mp4; codecs="avc1.…" (H.264 only). */
  mediaType;
  width;
  height;
  timescale;
  defaults = { duration: 0, size: 0 };
};
var Demuxer = class {
  /** The clip's Track, or null before the first moov. */
  track = null;
  #nextTime = 0;
  /**
   * Reads one piece.
   * @param {Uint8Array} bytes
   * @returns {{offset: number, size: number, time: number, duration: number}[]}
   *   its samples: offset and size in the piece; seconds since the clip's start.
   */
  read(bytes) {
    const samples = [];
    const budget = { boxes: MAX_BOXES };
    for (const box of boxes(bytes, 0, bytes.length, budget)) {
      if (box.type === "moov") this.track = readMoov(bytes, box, budget);
      if (box.type === "moof") this.#readMoof(bytes, box, budget, samples);
    }
    return samples;
  }
  #readMoof(bytes, moof, budget, samples) {
    if (this.track === null) throw new MP4Error("pictures come before what describes them");
    for (const traf of children(bytes, moof, budget).filter((b) => b.type === "traf")) {
      const parts = children(bytes, traf, budget);
      const header = readTfhd(bytes, need(parts, "tfhd"), this.track.defaults);
      const time = parts.find((b) => b.type === "tfdt");
      let at = time ? readTfdt(bytes, time) : this.#nextTime;
      let offset = moof.start;
      for (const trun of parts.filter((b) => b.type === "trun")) {
        for (const s of readTrun(bytes, trun, header, moof.start, offset)) {
          if (samples.length >= MAX_SAMPLES_PER_PIECE) throw new MP4Error("too many pictures");
          if (s.size > bytes.length - s.offset) throw new MP4Error("a picture reaches past the end");
          samples.push({ offset: s.offset, size: s.size, time: at / this.track.timescale, duration: s.duration / this.track.timescale });
          at += s.duration;
          offset = s.offset + s.size;
        }
      }
      this.#nextTime = at;
    }
  }
};
function view(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
function* boxes(bytes, from, to, budget) {
  const v = view(bytes);
  for (let at = from; at < to; ) {
    if (--budget.boxes < 0) throw new MP4Error("too many boxes");
    if (to - at < 8) throw new MP4Error("ends inside a box");
    let size = v.getUint32(at);
    let header = 8;
    if (size === 1) {
      if (to - at < 16) throw new MP4Error("ends inside a box");
      const large = v.getBigUint64(at + 8);
      size = large > BigInt(to) ? Infinity : Number(large);
      header = 16;
    }
    if (size < header || size > to - at) throw new MP4Error("a box with a wrong size");
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    yield { type, start: at, body: at + header, end: at + size };
    at += size;
  }
}
function children(bytes, box, budget, skip = 0) {
  if (box.body + skip > box.end) throw new MP4Error(`a ${box.type} box that is too short`);
  return [...boxes(bytes, box.body + skip, box.end, budget)];
}
function need(list2, type) {
  const box = list2.find((b) => b.type === type);
  if (!box) throw new MP4Error(`no ${type} box`);
  return box;
}
var Fields = class {
  constructor(bytes, box) {
    this.view = view(bytes);
    this.at = box.body;
    this.end = box.end;
    this.type = box.type;
  }
  #advance(n) {
    if (n > this.end - this.at) throw new MP4Error(`a ${this.type} box that is too short`);
    const at = this.at;
    this.at += n;
    return at;
  }
  u8() {
    return this.view.getUint8(this.#advance(1));
  }
  u16() {
    return this.view.getUint16(this.#advance(2));
  }
  u32() {
    return this.view.getUint32(this.#advance(4));
  }
  i32() {
    return this.view.getInt32(this.#advance(4));
  }
  u64() {
    const n = this.view.getBigUint64(this.#advance(8));
    if (n > BigInt(Number.MAX_SAFE_INTEGER)) throw new MP4Error("a number too large");
    return Number(n);
  }
  skip(n) {
    this.#advance(n);
  }
  get left() {
    return this.end - this.at;
  }
};
function readMoov(bytes, moov, budget) {
  const top = children(bytes, moov, budget);
  for (const trak of top.filter((b) => b.type === "trak")) {
    const mdia = children(bytes, need(children(bytes, trak, budget), "mdia"), budget);
    const minf = children(bytes, need(mdia, "minf"), budget);
    const stsd = need(children(bytes, need(minf, "stbl"), budget), "stsd");
    const track = new Track();
    if (!readSampleEntry(bytes, stsd, budget, track)) continue;
    track.timescale = readTimescale(bytes, need(mdia, "mdhd"));
    const mvex = top.find((b) => b.type === "mvex");
    const trex = mvex && children(bytes, mvex, budget).find((b) => b.type === "trex");
    if (trex) {
      const f = new Fields(bytes, trex);
      f.skip(12);
      track.defaults = { duration: f.u32(), size: f.u32() };
    }
    return track;
  }
  throw new MP4Error("no H.264 or JPEG video in it");
}
function readTimescale(bytes, mdhd) {
  const f = new Fields(bytes, mdhd);
  const version = f.u8();
  f.skip(version === 1 ? 19 : 11);
  const timescale = f.u32();
  if (timescale === 0) throw new MP4Error("a timescale of nought");
  return timescale;
}
function readSampleEntry(bytes, stsd, budget, track) {
  for (const entry of children(bytes, stsd, budget, 8)) {
    if (!["avc1", "avc3", "mp4v", "jpeg", "mjpg"].includes(entry.type)) continue;
    const f = new Fields(bytes, entry);
    f.skip(24);
    track.width = f.u16();
    track.height = f.u16();
    const inner = children(bytes, entry, budget, 78);
    if (entry.type === "avc1" || entry.type === "avc3") {
      const avcC = need(inner, "avcC");
      const c = new Fields(bytes, avcC);
      c.skip(1);
      const profile = [c.u8(), c.u8(), c.u8()].map((n) => n.toString(16).padStart(2, "0")).join("");
      track.codec = "h264";
      track.mediaType = `video/mp4; codecs="${entry.type}.${profile}"`;
      return true;
    }
    if (entry.type === "mp4v" && objectType(bytes, need(inner, "esds")) !== JPEG_OBJECT_TYPE) continue;
    track.codec = "mjpeg";
    return true;
  }
  return false;
}
function objectType(bytes, esds) {
  const f = new Fields(bytes, esds);
  f.skip(4);
  while (f.left > 0) {
    const tag = f.u8();
    let length = 0;
    for (let i = 0; i < 4; i++) {
      const b = f.u8();
      length = length << 7 | b & 127;
      if (b < 128) break;
    }
    if (tag === 4) return f.u8();
    if (tag !== 3) {
      f.skip(length);
      continue;
    }
    f.skip(2);
    const flags = f.u8();
    if (flags & 128) f.skip(2);
    if (flags & 64) f.skip(f.u8());
    if (flags & 32) f.skip(2);
  }
  return 0;
}
function readFlags(f) {
  const word = f.u32();
  return { version: word >>> 24, flags: word & 16777215 };
}
function readTfhd(bytes, tfhd, defaults) {
  const f = new Fields(bytes, tfhd);
  const { flags } = readFlags(f);
  f.skip(4);
  const out = { base: null, duration: defaults.duration, size: defaults.size };
  if (flags & 1) out.base = f.u64();
  if (flags & 2) f.skip(4);
  if (flags & 8) out.duration = f.u32();
  if (flags & 16) out.size = f.u32();
  return out;
}
function readTfdt(bytes, tfdt) {
  const f = new Fields(bytes, tfdt);
  return readFlags(f).version === 1 ? f.u64() : f.u32();
}
function* readTrun(bytes, trun, header, moofStart, implied) {
  if (header.base !== null) throw new MP4Error("pictures placed by absolute offsets");
  const f = new Fields(bytes, trun);
  const { flags } = readFlags(f);
  const count = f.u32();
  let offset = flags & 1 ? moofStart + f.i32() : implied;
  if (offset < 0) throw new MP4Error("a picture that begins before the file");
  if (flags & 4) f.skip(4);
  for (let i = 0; i < count; i++) {
    const duration = flags & 256 ? f.u32() : header.duration;
    const size = flags & 512 ? f.u32() : header.size;
    if (flags & 1024) f.skip(4);
    if (flags & 2048) f.skip(4);
    if (offset > bytes.length) throw new MP4Error("a picture reaches past the end");
    yield { offset, size, duration };
    offset += size;
  }
}

// transport/hub/page/src/ui/player.js
var MAX_HELD = 96 * 1024 * 1024;
var KEEP_BEHIND = 10;
var MAX_BLOB = 256 * 1024 * 1024;
var prefersStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
function engineFor(track, options) {
  if (track.codec === "mjpeg") return new CanvasEngine(track, options);
  const Source = globalThis.MediaSource ?? globalThis.ManagedMediaSource;
  return Source?.isTypeSupported(track.mediaType) ? new VideoEngine(track, options, Source) : new WholeVideoEngine(track, options);
}
function newVideo(track, { label, say }) {
  const video = h("video", {
    controls: true,
    muted: true,
    playsInline: true,
    disableRemotePlayback: true,
    width: track.width,
    height: track.height,
    autoplay: !prefersStill(),
    aria: { label }
  });
  video.addEventListener("error", () => say(`This browser cannot play the clip (${video.error?.message || "no decoder for it"}). Save it and play it elsewhere.`));
  return video;
}
var VideoEngine = class {
  #source;
  #buffer = null;
  #queue = [];
  #isEnded = false;
  #url;
  constructor(track, options, Source) {
    this.element = newVideo(track, options);
    this.#source = new Source();
    this.#url = URL.createObjectURL(this.#source);
    this.element.src = this.#url;
    this.element.addEventListener("waiting", () => this.#jumpGap());
    this.element.addEventListener("timeupdate", () => this.#pump());
    this.#source.addEventListener("sourceopen", () => {
      this.#buffer ??= this.#source.addSourceBuffer(track.mediaType);
      this.#buffer.onupdateend = () => this.#pump();
      this.#pump();
    });
  }
  append(_index, bytes) {
    this.#queue.push(bytes);
    this.#pump();
  }
  end() {
    this.#isEnded = true;
    this.#pump();
  }
  #pump() {
    if (!this.#buffer || this.#buffer.updating || this.#source.readyState === "closed") return;
    if (this.#queue.length === 0) {
      this.#jumpGap();
      if (this.#isEnded && this.#source.readyState === "open") this.#source.endOfStream();
      return;
    }
    try {
      this.#buffer.appendBuffer(this.#queue[0]);
      this.#queue.shift();
    } catch (err) {
      if (err.name !== "QuotaExceededError") throw err;
      const upTo = this.element.currentTime - KEEP_BEHIND;
      if (upTo > 0 && this.#buffer.buffered.length > 0 && this.#buffer.buffered.start(0) < upTo) this.#buffer.remove(0, upTo);
    }
  }
  /** A part that was not handed out leaves a hole: play on behind it. */
  #jumpGap() {
    const { buffered, currentTime } = this.element;
    for (let i = 0; i < buffered.length; i++) {
      if (currentTime >= buffered.start(i) && currentTime < buffered.end(i) - 0.05) return;
      if (buffered.start(i) > currentTime) {
        this.element.currentTime = buffered.start(i);
        return;
      }
    }
  }
  close() {
    this.element.pause();
    this.element.removeAttribute("src");
    this.element.load();
    URL.revokeObjectURL(this.#url);
    this.#queue = [];
  }
};
var WholeVideoEngine = class {
  #parts = [];
  #size = 0;
  #url = null;
  #say;
  constructor(track, options) {
    this.element = newVideo(track, options);
    this.#say = options.say;
    this.#say("This browser plays the clip once all of it is here.");
  }
  append(_index, bytes) {
    this.#size += bytes.length;
    if (this.#size <= MAX_BLOB) this.#parts.push(bytes);
  }
  end() {
    this.#say(this.#size > MAX_BLOB ? "The clip is too long to be played whole: this is its beginning." : "");
    this.#url = URL.createObjectURL(new Blob(this.#parts, { type: "video/mp4" }));
    this.element.src = this.#url;
    this.#parts = [];
  }
  close() {
    this.element.removeAttribute("src");
    this.element.load();
    if (this.#url) URL.revokeObjectURL(this.#url);
  }
};
var CanvasEngine = class {
  #frames = [];
  #parts = /* @__PURE__ */ new Map();
  #held = 0;
  #reload;
  #canvas;
  #context;
  #toggle = h("button.play", { type: "button", onclick: () => this.#playOrPause() });
  #seek = h("input", { type: "range", min: "0", max: "0", step: "0.04", value: "0", aria: { label: "Position in the clip" }, oninput: () => this.#goTo(Number(this.#seek.value)) });
  #clock = h("output.clock");
  #time = 0;
  #from = 0;
  #since = 0;
  #isPlaying = !prefersStill();
  #isEnded = false;
  #isClosed = false;
  #drawn = -1;
  #isDrawing = false;
  /** options.reload(index) gives a part's bytes again. */
  constructor(track, { label, reload }) {
    this.#reload = reload;
    this.#canvas = h("canvas", { width: track.width, height: track.height, role: "img", aria: { label }, onclick: () => this.#playOrPause() });
    this.#context = this.#canvas.getContext("2d");
    this.element = h("div.canvas-player", {}, this.#canvas, h("div.transport", {}, this.#toggle, this.#seek, this.#clock));
    this.#start(0);
    this.#label();
    this.#tick();
  }
  append(index, bytes, samples) {
    this.#hold(index, bytes);
    for (const s of samples) this.#frames.push({ ...s, part: index });
    this.#seek.max = String(this.#duration);
    this.#label();
    this.#draw();
  }
  end() {
    this.#isEnded = true;
  }
  get #duration() {
    const last = this.#frames.at(-1);
    return last ? last.time + last.duration : 0;
  }
  #hold(index, bytes) {
    this.#parts.set(index, bytes);
    this.#held += bytes.length;
    for (const [i, b] of this.#parts) {
      if (this.#held <= MAX_HELD) break;
      if (i === index) continue;
      this.#parts.delete(i);
      this.#held -= b.length;
    }
  }
  #playOrPause() {
    this.#isPlaying = !this.#isPlaying;
    if (this.#isPlaying) this.#start(this.#isEnded && this.#time >= this.#duration - 0.05 ? 0 : this.#time);
    this.#label();
  }
  #goTo(time) {
    this.#start(time);
    this.#label();
    this.#draw();
  }
  #start(time) {
    this.#time = time;
    this.#from = time;
    this.#since = performance.now();
  }
  #tick() {
    if (this.#isClosed) return;
    requestAnimationFrame(() => this.#tick());
    if (!this.#isPlaying || this.#frames.length === 0) return;
    const now = this.#from + (performance.now() - this.#since) / 1e3;
    if (now >= this.#duration) {
      this.#start(this.#duration);
      if (this.#isEnded) this.#isPlaying = false;
    } else {
      this.#time = now;
    }
    this.#label();
    this.#draw();
  }
  #label() {
    setText(this.#toggle, this.#isPlaying ? "Pause" : "Play");
    this.#seek.value = String(this.#time);
    setText(this.#clock, `${lengthText(this.#time)} / ${lengthText(this.#duration)}`);
    this.#seek.setAttribute("aria-valuetext", `${lengthText(this.#time)} of ${lengthText(this.#duration)}`);
  }
  #frameAt(time) {
    let low = 0;
    let high = this.#frames.length - 1;
    while (low < high) {
      const middle = low + high + 1 >> 1;
      if (this.#frames[middle].time <= time) low = middle;
      else high = middle - 1;
    }
    return low;
  }
  async #draw() {
    const wanted = this.#frameAt(this.#time);
    if (this.#isDrawing || wanted === this.#drawn || this.#frames.length === 0) return;
    this.#isDrawing = true;
    try {
      const { part, offset, size } = this.#frames[wanted];
      if (!this.#parts.has(part)) this.#hold(part, await this.#reload(part));
      const picture = await createImageBitmap(new Blob([this.#parts.get(part).subarray(offset, offset + size)], { type: "image/jpeg" }));
      if (!this.#isClosed) this.#context.drawImage(picture, 0, 0, this.#canvas.width, this.#canvas.height);
      picture.close();
    } catch {
    } finally {
      this.#drawn = wanted;
      this.#isDrawing = false;
    }
    if (!this.#isClosed && !this.#isPlaying) this.#draw();
  }
  close() {
    this.#isClosed = true;
    this.#parts.clear();
    this.#frames = [];
  }
};

// transport/hub/page/src/ui/event.js
var URGENT = 4e15;
var PATIENCE_MS = 5e3;
var EventView = class {
  #viewer;
  #event;
  #pictures;
  #shown;
  #closed;
  #stop = new AbortController();
  #engine = null;
  #lost = [];
  #opened = 0;
  #isDone = false;
  #poster = h("img.poster", { alt: "" });
  #stage = h("div.stage", {}, this.#poster);
  #status = h("p.status", { role: "status" });
  #trouble = h("p.warning", { hidden: true });
  #details = h("div.details");
  #save = h("button", { type: "button", disabled: true, onclick: () => this.#saveClip() }, "Save clip");
  /**
   * @param {import("../viewer.js").Viewer} viewer
   * @param {import("../timeline.js").CameraEvent} event
   * @param {import("./pictures.js").Pictures} pictures
   * @param {(header: object) => void} shown told of each item that is put on the page
   * @param {() => void} closed
   */
  constructor(viewer, event, { pictures, shown, closed }) {
    Object.assign(this, { key: event.key });
    this.#viewer = viewer;
    this.#event = event;
    this.#pictures = pictures;
    this.#shown = shown;
    this.#closed = closed;
    const title2 = h("h2", { id: "event-title" }, `${cameraName(event.device)}, ${fullText(event.start)}`);
    const close = h("button.close", { type: "button", aria: { label: "Close" }, onclick: () => this.element.close() }, "Close");
    this.element = h(
      "dialog.event",
      { aria: { labelledby: "event-title" }, onclose: () => this.close(), onclick: (e) => this.#clickOutside(e) },
      h("div.event-body", {}, h("header", {}, title2, close), this.#stage, this.#trouble, this.#status, this.#details, h("p.actions", {}, this.#save))
    );
  }
  open() {
    if (this.#event.parts.get(0)?.header.mediaType.includes("mp4v")) {
      this.#stage.dataset.codec = "mjpeg";
      this.#stage.replaceChildren(h("div.canvas-player", {}, this.#poster, h("div.transport")));
    }
    document.body.append(this.element);
    this.element.showModal();
    this.render();
    this.#play().catch((err) => {
      if (!this.#stop.signal.aborted) this.#say(`The clip cannot be played: ${err.message}`);
    });
  }
  close() {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#engine?.close();
    this.element.remove();
    this.#closed();
  }
  #clickOutside(e) {
    if (e.target === this.element) this.element.close();
  }
  #say(text) {
    this.#trouble.hidden = text === "";
    setText(this.#trouble, text);
  }
  render() {
    this.#viewer.describe(this.#event);
    const { url } = this.#pictures.of(this.#event);
    if (url && this.#poster.src !== url) {
      this.#poster.src = url;
      this.#poster.alt = `What ${cameraName(this.#event.device)} saw`;
    }
    setText(this.#status, this.#statusText());
    this.#save.disabled = !this.#isDone || this.#opened === 0;
    this.#details.replaceChildren(this.#facts());
  }
  #statusText() {
    const count = this.#event.partCount;
    if (count === 0) return this.#event.isOver ? "This event has no clip." : "The clip's first part is on its way…";
    const parts = `${this.#opened} of ${count} ${count === 1 ? "part" : "parts"} verified and opened.`;
    if (this.#lost.length > 0) return `${parts} ${this.#lost.length === 1 ? "One part" : `${this.#lost.length} parts`} could not be had.`;
    return this.#isDone ? parts : `${parts} ${this.#event.isOver ? "" : "The event still runs."}`;
  }
  #facts() {
    const event = this.#event;
    const stubs = [event.thumbnail, event.record, ...event.parts.values()].filter(Boolean);
    const { header } = stubs[0];
    const seqs = stubs.map((s) => s.header.seq);
    const [from, to] = [Math.min(...seqs), Math.max(...seqs)];
    const says = event.says;
    return facts([
      ["Sealed by", `${cameraName(header.device)}, whose key signed every item shown here. This browser checked it.`],
      ["Began", fullText(says?.start ?? event.start)],
      says && says.cause !== "paired" && ["Lasted", lengthText((says.end - says.start) / 1e3)],
      says && ["What", CAUSE_TEXTS[says.cause]],
      says?.zones.length > 0 && ["Where", says.zones.join(", ")],
      says && says.cause !== "paired" && ["Movement", `up to ${Math.round(says.score * 100)} % of the picture`],
      ["Clock", CLOCKS[event.clock]],
      ["Key", PROTECTIONS[header.protection]],
      ["Firmware", header.firmware],
      ["Place", `items ${from === to ? from : `${from} to ${to}`} of chain ${header.chain}, ownership ${header.epoch}`],
      ["Camera's ID", h("code", {}, header.device)],
      says?.lostParts > 0 && ["Lost", `The camera could not keep ${says.lostParts} of the clip's parts.`]
    ]);
  }
  async #play() {
    const demuxer = new Demuxer();
    const { signal } = this.#stop;
    for (let index = 0; await this.#hasPart(index); index++) {
      const bytes = await this.#openPart(index);
      signal.throwIfAborted();
      if (bytes === null) continue;
      try {
        const samples = demuxer.read(bytes);
        this.#engine ??= this.#startEngine(demuxer.track);
        this.#engine.append(index, bytes, samples);
        this.#opened++;
      } catch (err) {
        if (!(err instanceof MP4Error)) throw err;
        this.#lost.push(index);
        this.#say(demuxer.track === null ? "The clip's first part is missing, and the others cannot be played without it." : `Part ${index + 1} cannot be read: ${err.message}`);
      }
      this.render();
    }
    this.#engine?.end();
    this.#isDone = true;
    this.render();
  }
  /** Waits until the part is known; false when there will be none. */
  async #hasPart(index) {
    const event = this.#event;
    for (let overtaken = 0; !event.parts.has(index); ) {
      if (event.isOver && index >= event.partCount) return false;
      const isOvertaken = event.isOver || index < event.partCount;
      overtaken += isOvertaken ? 250 : 0;
      if (overtaken >= PATIENCE_MS) return index < event.partCount;
      await sleep(250, this.#stop.signal);
    }
    return true;
  }
  async #openPart(index) {
    const stub = this.#event.parts.get(index);
    try {
      if (!stub) throw new Error("it never came");
      const { header, bytes } = await this.#viewer.open(stub, { urgency: URGENT - index });
      this.#stop.signal.throwIfAborted();
      this.#shown(header);
      return bytes;
    } catch (err) {
      this.#stop.signal.throwIfAborted();
      this.#lost.push(index);
      this.#say(`Part ${index + 1} of the clip is not shown: ${err.message}.`);
      return null;
    }
  }
  #startEngine(track) {
    if (track === null) throw new MP4Error("pictures come before what describes them");
    const label = `Clip of ${cameraName(this.#event.device)}, ${fullText(this.#event.start)}`;
    const reload = async (index) => (await this.#viewer.open(this.#event.parts.get(index), { urgency: URGENT })).bytes;
    const engine = engineFor(track, { label, reload, say: (text) => this.#say(text) });
    this.#stage.replaceChildren(engine.element);
    this.#stage.dataset.codec = track.codec;
    return engine;
  }
  async #saveClip() {
    this.#save.disabled = true;
    const parts = [];
    try {
      for (const index of [...this.#event.parts.keys()].sort((a, b) => a - b)) {
        if (!this.#lost.includes(index)) parts.push((await this.#viewer.open(this.#event.parts.get(index), { urgency: URGENT })).bytes);
      }
      save(parts, "video/mp4", `${this.#event.device.slice(0, 8)}-${this.#event.id.slice(0, 8)}.mp4`);
    } catch (err) {
      if (!this.#stop.signal.aborted) this.#say(`The clip could not be saved: ${err.message}`);
    }
    this.#save.disabled = false;
  }
};

// transport/hub/page/src/ui/events.js
var PAGE = 60;
var RUNNING_MS = 9e4;
var EventsView = class {
  #viewer;
  #pictures;
  #cards = /* @__PURE__ */ new Map();
  #days = /* @__PURE__ */ new Map();
  #notices = /* @__PURE__ */ new Map();
  #window = PAGE;
  #list = h("div.days");
  #more = h("button.more", { type: "button", onclick: () => this.#showMore() });
  #emptyText = h("p", { role: "status" });
  #addLink = h("a.button.primary", { href: "#/add" }, "Add a camera");
  #empty = h("div.empty", {}, this.#emptyText, this.#addLink);
  #given;
  /**
   * @param {import("../viewer.js").Viewer} viewer
   * @param {import("./pictures.js").Pictures} pictures
   * @param {import("../pairing/desk.js").GivenAway} given whose events are not shown
   */
  constructor(viewer, pictures, given) {
    this.#viewer = viewer;
    this.#pictures = pictures;
    this.#given = given;
    this.element = h("section.events", { aria: { label: "Events" } }, this.#empty, this.#list, this.#more);
  }
  #showMore() {
    this.#window += PAGE;
    this.render();
  }
  render() {
    const events = this.#viewer.timeline.sorted().filter((event) => !this.#given.has(event.device, epochOf(event)));
    const shown = events.slice(0, this.#window);
    const oldest = shown.length === events.length ? -Infinity : shown.at(-1).start;
    const notices = this.#viewer.notices().filter((n) => n.time >= oldest);
    const entries = [
      ...shown.map((event) => ({ time: event.start, unset: event.clock === CLOCK_UNSET, node: this.#card(event) })),
      ...notices.map((notice) => ({ time: notice.time, unset: false, node: this.#notice(notice) }))
    ].sort((a, b) => Number(b.unset) - Number(a.unset) || b.time - a.time);
    this.#arrangeDays(entries);
    this.#forget(shown, notices);
    this.#more.hidden = shown.length === events.length;
    setText(this.#more, `Show ${Math.min(PAGE, events.length - shown.length)} older of ${events.length - shown.length}`);
    this.#empty.hidden = entries.length > 0;
    setText(this.#emptyText, emptyText(this.#viewer));
    this.#addLink.hidden = this.#viewer.records.cameras.length > 0 || this.#viewer.hub === null;
  }
  #arrangeDays(entries) {
    const days = /* @__PURE__ */ new Map();
    for (const { time, unset, node } of entries) {
      const key = unset ? "unset" : dayKey(time);
      const day = this.#days.get(key) ?? newDay();
      this.#days.set(key, day);
      if (!days.has(key)) days.set(key, { day, nodes: [] });
      setText(day.heading, unset ? "Time not known: the camera's clock was never set" : dayText(time));
      days.get(key).nodes.push(node);
    }
    for (const { day, nodes } of days.values()) arrange(day.list, nodes);
    arrange(this.#list, [...days.values()].map(({ day }) => day.element));
    for (const key of this.#days.keys()) if (!days.has(key)) this.#days.delete(key);
  }
  #forget(shown, notices) {
    const keys = new Set([...shown, ...notices].map(({ key }) => key));
    for (const map of [this.#cards, this.#notices]) for (const key of map.keys()) if (!keys.has(key)) map.delete(key);
  }
  #card(event) {
    if (!this.#cards.has(event.key)) this.#cards.set(event.key, new Card(event));
    const card = this.#cards.get(event.key);
    if (this.#viewer.state !== "catching-up") this.#viewer.describe(event);
    card.update(this.#pictures.of(event));
    return card.element;
  }
  #notice(notice) {
    if (!this.#notices.has(notice.key)) {
      this.#notices.set(notice.key, h("li.notice", {}, h("span.notice-text"), h("span.notice-camera", {}, cameraName(notice.device))));
    }
    const element2 = this.#notices.get(notice.key);
    element2.dataset.type = notice.delivered ? "withheld" : notice.type;
    setText(element2.firstChild, noticeText(notice));
    return element2;
  }
};
function newDay() {
  const heading = h("h2");
  const list2 = h("ol.grid");
  return { heading, list: list2, element: h("section.day", {}, heading, list2) };
}
function epochOf({ thumbnail, record }) {
  return (thumbnail ?? record)?.header.epoch;
}
function emptyText({ state, records }) {
  if (state === "live") return "Nothing has moved yet. What your cameras see will appear here by itself.";
  if (state === "no-camera" && records.cameras.length > 0) return "The hub does not let these keys look any more: they may have been taken off the list of viewers, or the camera has another owner now.";
  if (state === "no-camera") return "This hub knows no camera of yours yet.";
  if (state === "offline") return "The hub does not answer. This page keeps trying.";
  return "Looking for events…";
}
var Card = class {
  #event;
  #image = h("img", { alt: "", decoding: "async", hidden: true });
  #placeholder = h("span.placeholder");
  #time = h("time");
  #badges = h("span.badges");
  #camera = h("span.camera");
  constructor(event) {
    this.#event = event;
    this.#image.addEventListener("error", () => {
      this.#image.hidden = true;
      setText(this.#placeholder, "This picture is broken");
    });
    this.#camera.textContent = cameraName(event.device);
    const link = h(
      "a",
      { href: `#/event/${event.key}` },
      h("span.picture", {}, this.#placeholder, this.#image, this.#badges),
      h("span.caption", {}, this.#time, this.#camera)
    );
    this.element = h("li.card", { data: { event: event.id } }, link);
  }
  update({ url, failure }) {
    const event = this.#event;
    const text = event.clock === CLOCK_UNSET ? "time not known" : timeText(event.start);
    setText(this.#time, text);
    if (Number.isFinite(event.start) && event.start <= 864e13) this.#time.dateTime = new Date(event.start).toISOString();
    if (url && this.#image.src !== url) {
      this.#image.src = url;
      this.#image.alt = `What ${cameraName(event.device)} saw at ${text}`;
      this.#image.hidden = false;
    } else if (!url) {
      this.#image.removeAttribute("src");
      this.#image.hidden = true;
    }
    setText(this.#placeholder, url ? "" : placeholderText(event, failure));
    const words = badgeWords(event);
    if (this.#badges.textContent !== words.join("")) arrange(this.#badges, words.map((w) => h("span.badge", { data: { word: w } }, w)));
  }
};
function placeholderText(event, failure) {
  if (failure) return "Not shown: what came instead was withheld or could not be opened";
  return event.thumbnail ? "Opening…" : "No picture";
}
function badgeWords(event) {
  const words = [];
  if (event.clock === CLOCK_FLOOR) words.push("clock uncertain");
  if (event.says && CAUSES[event.says.cause]) words.push(CAUSES[event.says.cause]);
  if (event.says && event.says.cause !== "paired") words.push(lengthText((event.says.end - event.says.start) / 1e3));
  if (!event.isOver && Date.now() - event.end < RUNNING_MS) words.push("now");
  return words;
}

// transport/hub/page/src/heads.js
var LABEL = "heads/1";
var MAX_HEADS2 = 512;
var MAX_HEADS_FILE = 2 << 20;
var MAX_ENVELOPE = 2048;
var HeadsError = class extends Error {
};
async function parseHeads(text, owner) {
  if (text.length > MAX_HEADS_FILE) throw new HeadsError("The file is too large to be one of heads.");
  const file = read(text);
  if (file?.lensward !== LABEL || !Array.isArray(file.heads) || file.heads.length > MAX_HEADS2 || !Number.isSafeInteger(file.made) || file.made < 0) {
    throw new HeadsError("This is not a file of heads.");
  }
  if (file.owner !== owner) throw new HeadsError("This file is of another household.");
  const items = [];
  for (const envelope of file.heads) {
    const item = await verified(envelope);
    if (item !== null) items.push(item);
  }
  return items;
}
function read(text) {
  try {
    return parseJSON(text);
  } catch {
    throw new HeadsError("This is not a file of heads: it is not JSON.");
  }
}
async function verified(text) {
  let bytes;
  try {
    bytes = unbase64url(text);
  } catch {
    throw new HeadsError("A head in the file is not base64url.");
  }
  if (bytes.length > MAX_ENVELOPE) throw new HeadsError("A head in the file is too large.");
  try {
    const item = await parseEnvelope(bytes);
    await verifyEnvelope(item);
    return item;
  } catch (err) {
    if (err instanceof Refusal) return null;
    throw err;
  }
}
function headsFile(owner, heads, now) {
  const envelopes = heads.filter(({ envelope }) => envelope !== null).toReversed().slice(0, MAX_HEADS2).map(({ envelope }) => base64url(envelope));
  return `${JSON.stringify({ lensward: LABEL, owner, made: now, heads: envelopes }, null, 1)}
`;
}

// transport/hub/page/src/ui/findings.js
var FindingsView = class {
  #viewer;
  #lead = h("p.lead");
  #list = h("ol.withheld-list");
  #rows = /* @__PURE__ */ new Map();
  #said = h("p.quiet", { role: "status" });
  /** @param {import("../viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.#viewer = viewer;
    const file = h("input", { type: "file", id: "heads-file", accept: ".json,application/json", onchange: () => this.#compare(file) });
    this.element = h(
      "section.withheld",
      { aria: { label: "Findings" } },
      h("h2", {}, "Findings"),
      this.#lead,
      this.#list,
      h("h3", {}, "Compare with another member"),
      h("p.quiet", {}, "A hub could show two people two histories. It is found out when they compare: each saves what they have seen, gives the file to the other by any way but the hub, and reads the other's."),
      h(
        "div.actions.file-choice",
        {},
        h("button", { type: "button", onclick: () => this.#saveHeads() }, "Save what I have seen"),
        h("label.button", { htmlFor: "heads-file" }, "Read another member's file"),
        file
      ),
      this.#said
    );
  }
  render() {
    const { list: list2 } = this.#viewer.findings;
    setText(this.#lead, list2.length === 0 ? "The hub was caught at nothing: what it gave fits together, and it gave what it has to have." : `${list2.length === 1 ? "One finding" : `${list2.length} findings`}, the newest first. Each has its proof, which you can show to whoever runs the hub.`);
    arrange(this.#list, list2.map((finding) => this.#row(finding)));
  }
  #row(finding) {
    if (!this.#rows.has(finding)) {
      this.#rows.set(finding, h(
        "li.withheld-row",
        { data: { finding: finding.name } },
        h("p.why", {}, findingText(finding.name)),
        h("p.meta", {}, h("time", { dateTime: new Date(finding.at).toISOString() }, fullText(finding.at)), finding.device && cameraName(finding.device), h("code", {}, placeText(finding))),
        h("button.small", { type: "button", onclick: () => saveProof(finding) }, "Save the proof")
      ));
    }
    return this.#rows.get(finding);
  }
  #saveHeads() {
    const { owner, heads } = this.#viewer;
    save([headsFile(owner, heads, Date.now())], "application/json", `lensward-heads-${owner.slice(0, 8)}.json`);
  }
  async #compare(input) {
    const [file] = input.files;
    if (!file) return;
    try {
      if (file.size > MAX_HEADS_FILE) throw new HeadsError("The file is too large to be one of heads.");
      const items = await parseHeads(await file.text(), this.#viewer.owner);
      this.#viewer.hearMember(items);
      setText(this.#said, `${items.length} ${items.length === 1 ? "head is" : "heads are"} compared with what the hub gives here. What contradicts it appears above.`);
    } catch (err) {
      setText(this.#said, err instanceof HeadsError ? err.message : `The file could not be read: ${err.message}`);
    }
    input.value = "";
  }
};
function placeText({ name, epoch, chain, from, to }) {
  const range = from === to ? String(from) : `${from}–${to}`;
  if (chain > 0) return `${name} · epoch ${epoch}, chain ${chain}, ${range}`;
  return epoch > 0 ? `${name} · epoch ${epoch}, revision ${range}` : `${name} · statement ${range}`;
}
async function saveProof(finding) {
  const { name, text } = await findingFile(finding);
  save([text], "application/json", name);
}

// transport/hub/page/src/ui/household.js
var DAY2 = 24 * 36e5;
var HouseholdView = class {
  #viewer;
  #lead = h("p.lead");
  #trouble = h("p.warning", { role: "alert", hidden: true });
  #members = h("tbody");
  #periods = h("tbody");
  #periodPart = h(
    "div.periods",
    {},
    h("h3", {}, "Periods"),
    h("p.quiet", {}, "Each period has a key of its own. When its retention is over the key is destroyed, and nobody opens what was recorded in it any more."),
    table(["Period", "From", "Until", "Its key is destroyed"], this.#periods)
  );
  #changes = h("ol.changes");
  #shown = "";
  /** @param {import("../viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.#viewer = viewer;
    this.element = h(
      "section.household",
      { aria: { label: "Household" } },
      h("h2", {}, "Household"),
      this.#lead,
      this.#trouble,
      h("h3", {}, "Who may look"),
      table(["Name", "Role", "Until", "Key"], this.#members),
      this.#periodPart,
      h("h3", {}, "Signed changes"),
      this.#changes
    );
  }
  render() {
    const { home, records } = this.#viewer;
    const shown = JSON.stringify([home.newest?.hash, home.trouble, home.isOpen, records.cameras.map(({ hash, ownership }) => [hash, ownership !== null])]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const { newest } = home;
    this.#periodPart.hidden = newest === null;
    setText(this.#lead, newest === null ? "No household was made of these keys yet: who may look is in each camera's ownership record, below. “lensctl owner” adds members." : `A new period begins every ${daysText(newest.rotation)}, and each can be opened for ${daysText(newest.retention)} after it has ended.${home.isOpen ? "" : " These keys do not open the current period: export them again, or ask the owner."}`);
    this.#trouble.hidden = home.trouble === null;
    if (home.trouble) setText(this.#trouble, `The hub answered with a statement of the household that was refused: ${home.trouble.detail || home.trouble.reason}.`);
    arrange(this.#members, this.#memberRows(newest));
    arrange(this.#periods, (newest?.periods ?? []).toReversed().map((p) => row([
      String(p.number),
      fullText(p.from),
      p.until ? fullText(p.until) : "now",
      p.until ? fullText(p.until + newest.retention) : "not yet"
    ])));
    arrange(this.#changes, this.#changeRows());
  }
  #memberRows(newest) {
    const viewers = newest?.members ?? newestViewers(this.#viewer.records.cameras);
    return viewers.map((m) => row([m.name, ROLES[m.role], m.until ? `${fullText(m.until)}${m.until < Date.now() ? " (over)" : ""}` : "", h("code", {}, keyText(m.key))]));
  }
  #changeRows() {
    const { home, records } = this.#viewer;
    const changes = [
      ...historyOf(home.chain).map((change) => ({ at: change.at, what: `Statement ${change.serial}`, text: changeText(change) })),
      ...records.cameras.filter(({ ownership }) => ownership).map(({ device, ownership: { record } }) => ({
        at: record.created,
        what: cameraName(device),
        text: recordText(record)
      }))
    ].sort((a, b) => b.at - a.at);
    return changes.map(({ at, what, text }) => h("li.change", {}, h("time", { dateTime: new Date(at).toISOString() }, fullText(at)), h("span", {}, h("strong", {}, what), ` ${text}`)));
  }
};
function recordText({ epoch, revision, acquired, viewers }) {
  const how = { 1: "paired", 2: "released by its owner before", 3: "reset by its button" }[acquired];
  const names = viewers.map(({ name }) => name).join(", ");
  return revision === 1 ? `became yours (${how}), ownership ${epoch}. May look: ${names || "the owner"}.` : `ownership ${epoch}, revision ${revision}. May look: ${names || "the owner"}.`;
}
function newestViewers(cameras) {
  const known = cameras.filter(({ ownership }) => ownership).sort((a, b) => b.ownership.record.created - a.ownership.record.created);
  return known[0]?.ownership.record.viewers ?? [];
}
function keyText(key) {
  return [...key.slice(-4)].map((b) => b.toString(16).padStart(2, "0")).join("");
}
function daysText(ms) {
  const days = Math.round(ms / DAY2);
  return days === 1 ? "day" : `${days} days`;
}
function table(heads, body) {
  return h("div.table", { tabIndex: 0, role: "region", aria: { label: heads[0] } }, h("table", {}, h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))), body));
}
function row(cells) {
  return h("tr", {}, cells.map((cell) => h("td", {}, cell)));
}

// transport/hub/page/src/ui/pictures.js
var MOST2 = 300;
var Pictures = class {
  #kept = /* @__PURE__ */ new Map();
  #viewer;
  #shown;
  #changed;
  /**
   * @param {import("../viewer.js").Viewer} viewer
   * @param {(header: object) => void} shown told of each picture that is put on the page
   * @param {() => void} changed told when a picture has come or gone
   */
  constructor(viewer, shown, changed) {
    this.#viewer = viewer;
    this.#shown = shown;
    this.#changed = changed;
  }
  /**
   * An event's newest thumbnail: its URL, or null with why. While a better one is
   * on its way the one before stays. Asks for what is not here.
   * @returns {{url: string|null, failure: string}}
   */
  of(event) {
    const kept = this.#kept.get(event.key) ?? { url: null, hash: "", wanted: "", failure: "" };
    this.#kept.delete(event.key);
    this.#kept.set(event.key, kept);
    const isSettled = this.#viewer.state !== "catching-up";
    if (isSettled && event.thumbnail && kept.wanted !== event.thumbnail.hash) this.#want(event, kept);
    this.#evict();
    return kept;
  }
  async #want(event, kept) {
    const stub = event.thumbnail;
    kept.wanted = stub.hash;
    kept.failure = "";
    try {
      const { header, bytes } = await this.#viewer.open(stub, { urgency: stub.header.clock === CLOCK_UNSET ? Date.now() : stub.header.captured });
      if (kept.wanted !== stub.hash || this.#kept.get(event.key) !== kept) return;
      const last = kept.url;
      kept.url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
      kept.hash = stub.hash;
      this.#shown(header);
      this.#changed();
      if (last) requestAnimationFrame(() => URL.revokeObjectURL(last));
    } catch (err) {
      if (kept.wanted !== stub.hash) return;
      kept.failure = err.message;
      this.#changed();
    }
  }
  #evict() {
    for (const [key, kept] of this.#kept) {
      if (this.#kept.size <= MOST2) return;
      this.#kept.delete(key);
      if (kept.url) URL.revokeObjectURL(kept.url);
    }
  }
  /** Gives everything back. */
  close() {
    for (const { url } of this.#kept.values()) if (url) URL.revokeObjectURL(url);
    this.#kept.clear();
  }
};

// transport/hub/page/src/ui/welcome.js
var WelcomeView = class {
  #done;
  #error = h("p.warning", { role: "alert", hidden: true });
  #made = h("div.made", { hidden: true });
  /** @param {(keys: import("../keys.js").Keys, kept: "browser"|"memory") => void} done */
  constructor(done) {
    this.#done = done;
    const file = h("input", { type: "file", id: "key-file", accept: ".json,application/json", onchange: () => this.#import(file) });
    this.element = h(
      "section.welcome",
      { aria: { label: "Your keys" } },
      h("h1", {}, "Only you can see what your cameras see"),
      h("p.lead", {}, "Your cameras sign each picture and encrypt it to you before it leaves them. This page checks and opens them here, in your browser, with your keys."),
      this.#error,
      h(
        "div.choices",
        {},
        h(
          "div.choice",
          {},
          h("h2", {}, "I have keys"),
          h("p", {}, "Choose the file that ", h("code", {}, "lensctl owner export"), " wrote."),
          h("label.button.primary", { htmlFor: "key-file" }, "Import keys"),
          file
        ),
        h(
          "div.choice",
          {},
          h("h2", {}, "I am new"),
          h("p", {}, "Make an owner's keys in this browser, and add a camera with them afterwards."),
          h("button", { type: "button", onclick: () => this.#make() }, "Make new keys"),
          this.#made
        )
      ),
      h("p.quiet", {}, "What is stored where: your keys, the root key among them, stay in this browser until you forget them, and are never sent. Beside them the browser notes which ownership records and how many items it has seen, so that a hub which takes something back is found out. Pictures are only ever in this page's memory. The hub stores what it cannot read, and gets a signature of your viewer key to know whose items to hand out.")
    );
  }
  /** Shows what went wrong. */
  say(message) {
    this.#error.textContent = message;
    this.#error.hidden = false;
  }
  async #import(input) {
    const [file] = input.files;
    if (!file) return;
    try {
      if (file.size > MAX_FILE_SIZE) throw new KeysError("The file is too large to be an owner's keys.");
      await this.#keep(await parseKeys(await file.text()));
    } catch (err) {
      this.say(err instanceof KeysError ? err.message : `The file could not be read: ${err.message}`);
      input.value = "";
    }
  }
  async #make() {
    const { keys, text } = await makeKeys();
    const go = h("button.primary", { type: "button", disabled: true, onclick: () => this.#goOn(keys) }, "Continue");
    this.#made.replaceChildren(
      h("p", {}, "Your owner ID:"),
      h("code.id", {}, keys.owner),
      h("p", {}, "Save the copy now. It has your root key, which makes cameras yours: without it nothing can be opened, and no camera added or given away, once this browser is gone."),
      h("button", {
        type: "button",
        onclick: () => {
          save([text], "application/json", `lensward-owner-${keys.owner.slice(0, 8)}.json`);
          go.disabled = false;
        }
      }, "Save the copy"),
      go
    );
    this.#made.hidden = false;
  }
  async #goOn(keys) {
    location.hash = "#/add";
    await this.#keep(keys);
  }
  async #keep(keys) {
    let kept = "browser";
    try {
      await keepInBrowser(keys);
    } catch {
      kept = "memory";
    }
    this.#done(keys, kept);
  }
};

// transport/hub/page/src/ui/withheld.js
var WithheldView = class {
  #viewer;
  #lead = h("p.lead");
  #list = h("ol.withheld-list");
  #rows = /* @__PURE__ */ new Map();
  constructor(viewer) {
    this.#viewer = viewer;
    this.element = h("section.withheld", { aria: { label: "Withheld" } }, h("h2", {}, "Withheld"), this.#lead, this.#list);
  }
  render() {
    const { entries, total } = this.#viewer.withheld;
    setText(this.#lead, total === 0 ? "Nothing was withheld: everything that the hub answered with was yours, whole and what was asked for." : `${total} ${total === 1 ? "answer" : "answers"} of the hub ${total === 1 ? "was" : "were"} not shown. What is yours was asked for again.${total > entries.length ? ` The last ${entries.length} are listed.` : ""}`);
    const rows = entries.map((entry) => this.#row(entry));
    arrange(this.#list, rows);
    const ids = new Set(entries.map(({ id }) => id));
    for (const id of this.#rows.keys()) if (!ids.has(id)) this.#rows.delete(id);
  }
  #row(entry) {
    if (!this.#rows.has(entry.id)) {
      const reported2 = h("span.reported");
      const element3 = h(
        "li.withheld-row",
        { data: { reason: entry.misrouted || entry.reason } },
        h("p.why", {}, withheldText(entry)),
        h("p.meta", {}, h("time", { dateTime: new Date(entry.time).toISOString() }, timeText(entry.time)), h("code", {}, codeText(entry)), reported2),
        entry.proof && entry.misrouted && h("button.small", { type: "button", onclick: () => saveProof2(entry) }, "Save its signed header")
      );
      this.#rows.set(entry.id, { element: element3, reported: reported2 });
    }
    const { element: element2, reported } = this.#rows.get(entry.id);
    setText(reported, entry.misrouted ? reportedText(entry) : "");
    return element2;
  }
};
function codeText({ reason, misrouted, header }) {
  const words = misrouted && misrouted !== reason ? [reason, misrouted] : [reason];
  if (header) words.push(`owner ${header.owner.slice(0, 8)}`, `camera ${header.device.slice(0, 8)}`);
  return words.join(" · ");
}
function saveProof2({ proof, header }) {
  const name = header ? `header-${header.device.slice(0, 8)}-${header.epoch}-${header.chain}-${header.seq}.cose` : "header.cose";
  save([proof], "application/cose", name);
}

// transport/hub/page/src/ui/app.js
var REFRESH_MS = 1e4;
var KEPT = {
  browser: "Your keys are kept in this browser.",
  tab: "These keys came with the link. They are kept in this tab alone, and go when it is closed.",
  memory: "This browser keeps nothing: your keys go when the page is closed."
};
function startApp(root, { keys, kept, trouble }) {
  const data = document.documentElement.dataset;
  Object.assign(data, { verified: 0, opened: 0, withheld: 0, wronglyShown: 0, events: 0, state: "keys", pairing: "none", refused: 0 });
  if (keys) return showViewer(root, keys, kept);
  const welcome = new WelcomeView((made, where) => showViewer(root, made, where));
  if (trouble) welcome.say(trouble);
  root.replaceChildren(h("header.bar", {}, brand()), h("main", {}, welcome.element));
}
function showViewer(root, keys, kept) {
  const page = new ViewerPage(keys, kept);
  root.replaceChildren(...page.elements);
  page.start();
}
function brand() {
  return h("a.brand", { href: "#/events" }, h("img", { src: "icon.svg", alt: "", width: 28, height: 28 }), "Lensward");
}
var ViewerPage = class {
  #keys;
  #kept;
  #viewer;
  #desk;
  #pictures;
  #views;
  #event = null;
  #stop = new AbortController();
  #wronglyShown = 0;
  #state = h("span.state", { role: "status" });
  #banners = h("div.banners");
  #footer = h("footer");
  #main = h("main");
  #links;
  #count = h("span.count", { hidden: true });
  #found = h("span.count", { hidden: true });
  #render = oncePerFrame(() => this.#renderNow());
  constructor(keys, kept) {
    this.#keys = keys;
    this.#kept = kept;
    const api = new Client(keys);
    this.#viewer = new Viewer({ keys, api, storage: localStorageOrNull() });
    this.#desk = new PairingDesk({ keys, api, viewer: this.#viewer });
    this.#pictures = new Pictures(this.#viewer, (header) => this.#shown(header), this.#render);
    this.#views = {
      events: new EventsView(this.#viewer, this.#pictures, this.#desk.given),
      cameras: new CamerasView(this.#viewer, this.#desk.given),
      withheld: new WithheldView(this.#viewer),
      findings: new FindingsView(this.#viewer),
      household: new HouseholdView(this.#viewer),
      add: new AddView({ desk: this.#desk, viewer: this.#viewer, pictures: this.#pictures, keys, gotRoot: (all) => this.#restart(all) })
    };
    this.#links = {
      events: h("a", { href: "#/events" }, "Events"),
      cameras: h("a.narrow-only", { href: "#/cameras" }, "Cameras"),
      withheld: h("a", { href: "#/withheld" }, "Withheld", this.#count),
      findings: h("a", { href: "#/findings" }, "Findings", this.#found),
      household: h("a", { href: "#/household" }, "Household")
    };
    this.elements = [
      h("header.bar", {}, h("h1", {}, brand()), h("nav", { aria: { label: "Views" } }, Object.values(this.#links)), this.#state),
      this.#banners,
      h("div.columns", {}, h("aside", {}), this.#main),
      this.#footer
    ];
  }
  start() {
    for (const type of ["state", "hub", "cameras", "item", "withheld", "missing", "finding"]) {
      this.#viewer.addEventListener(type, () => {
        this.#tally();
        this.#render();
      });
    }
    this.#desk.addEventListener("change", () => {
      this.#tally();
      this.#render();
    });
    this.#viewer.addEventListener("finding", ({ detail }) => keepFinding(this.#keys.owner, detail).catch(() => void 0));
    this.#viewer.addEventListener("keys", () => this.#kept === "browser" && this.#keep());
    addEventListener("hashchange", this.#render, { signal: this.#stop.signal });
    const timers = [setInterval(this.#render, REFRESH_MS), setInterval(() => this.#desk.session && this.#render(), 1e3)];
    this.#stop.signal.addEventListener("abort", () => timers.forEach(clearInterval), { once: true });
    this.#tally();
    this.#render();
    this.#run().catch((err) => this.#sayFault(err));
  }
  async #run() {
    this.#viewer.findings.recall(await loadFindings(this.#keys.owner));
    await Promise.all([this.#viewer, this.#desk].map((part) => part.run(this.#stop.signal)));
  }
  #sayFault(err) {
    console.error(err);
    this.#banners.after(h("p.banner.warning.fault", { role: "alert" }, `The page stopped because of a fault in it: ${err.message}. Load it again.`));
  }
  /** Begins again with keys that hold the root key, too. */
  async #restart(keys) {
    this.#end();
    const kept = await keepInBrowser(keys).then(() => "browser", () => "memory");
    showViewer(document.getElementById("app"), keys, kept);
  }
  #end() {
    this.#stop.abort();
    this.#pictures.close();
  }
  /** Counts what is shown that is not ours: always none, and a test looks. */
  #shown(header) {
    if (header.owner !== this.#keys.owner) this.#wronglyShown++;
    this.#tally();
  }
  #tally() {
    const { counts, withheld, timeline, state } = this.#viewer;
    Object.assign(document.documentElement.dataset, {
      verified: counts.verified,
      opened: counts.opened,
      withheld: withheld.total,
      wronglyShown: this.#wronglyShown,
      events: timeline.events.size,
      state,
      findings: this.#viewer.findings.list.length,
      pairing: this.#desk.session?.memory.phase ?? "none",
      refused: this.#desk.session?.refused.count ?? 0
    });
  }
  #renderNow() {
    if (this.#stop.signal.aborted) return;
    const [, view2 = "events", device, id] = /^#\/(\w+)(?:\/([a-z2-7]{52})\/([0-9a-f]{32}))?$/.exec(location.hash) ?? [];
    this.#showEvent(view2 === "event" && this.#viewer.timeline.events.get(`${device}/${id}`));
    const name = view2 === "event" ? "events" : view2 in this.#views ? view2 : "events";
    if (!this.#main.contains(this.#views[name].element)) this.#main.replaceChildren(this.#views[name].element);
    for (const [key, link] of Object.entries(this.#links)) {
      if (key === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.#placeCameras(name);
    this.#views[name].render();
    this.#event?.render();
    this.#renderFrame();
  }
  /** Beside the time line where there is room, a view of its own where there is not. */
  #placeCameras(name) {
    const aside = this.elements[2].firstChild;
    if (name === "cameras") return;
    if (!aside.contains(this.#views.cameras.element)) aside.replaceChildren(this.#views.cameras.element);
    this.#views.cameras.render();
  }
  #showEvent(event) {
    if (this.#event && this.#event.key !== event?.key) this.#event.close();
    if (!event || this.#event) return;
    this.#event = new EventView(this.#viewer, event, {
      pictures: this.#pictures,
      shown: (header) => this.#shown(header),
      closed: () => {
        this.#event = null;
        if (location.hash === `#/event/${event.key}`) location.hash = "#/events";
      }
    });
    this.#event.open();
  }
  #renderFrame() {
    const { state, trouble, hub, withheld } = this.#viewer;
    setText(this.#state, STATES[state]);
    this.#state.dataset.state = state;
    this.#state.title = trouble ? `${trouble.message}${trouble.hint ? `. ${trouble.hint}` : ""}` : "";
    this.#count.hidden = withheld.total === 0;
    setText(this.#count, String(withheld.total));
    const found = this.#viewer.findings.list.length;
    this.#found.hidden = found === 0;
    setText(this.#found, String(found));
    arrange(this.#banners, this.#bannerNodes(hub, state, trouble));
    arrange(this.#footer, this.#footerNodes(hub));
  }
  #bannerNodes(hub, state, trouble) {
    return [
      hub?.mixup > 0 && this.#once("liar", String(hub.mixup), () => h(
        "p.banner.liar",
        { role: "status" },
        h("strong", {}, "This hub lies on purpose. "),
        `It answers ${Math.round(hub.mixup * 100)} % of requests with other people's pictures, to show that none of them can be opened or shown here. What came is under “Withheld”.`
      )),
      state === "offline" && this.#once("offline", trouble.message, () => h("p.banner", { role: "status" }, `The hub is not reached: ${trouble.message}. Trying again by itself.`)),
      this.#desk.session && this.#desk.answer === "" && !location.hash.startsWith("#/add") && this.#once("pairing", "", () => h(
        "p.banner",
        { role: "status" },
        "A camera is being added. ",
        h("a", { href: "#/add" }, "See how far it has come")
      )),
      this.#kept === "tab" && this.#once("tab", "", () => h(
        "p.banner",
        {},
        KEPT.tab,
        " ",
        h("button.small", { type: "button", onclick: () => this.#keep() }, "Keep them in this browser")
      )),
      !this.#viewer.records.pinned && this.#once("pins", "", () => h("p.banner", {}, "This browser keeps nothing: an older ownership record could be put in a newer one's place after the page is loaded again."))
    ].filter(Boolean);
  }
  #footerNodes(hub) {
    const own = hub?.servedBy === "view";
    return [
      this.#once("served", String(hub?.servedBy), () => h("p", {}, own ? "This page is served from your own machine by lensctl view: the hub cannot change it." : "This page is served by the hub. It checks everything, but a hub that serves the page could change the page. “lensctl view” serves the same page from your own machine, where the hub cannot.")),
      this.#once("keys", this.#kept, () => h(
        "p",
        {},
        "You are owner ",
        h("code", { title: this.#keys.owner }, this.#keys.owner.slice(0, 8)),
        `. ${KEPT[this.#kept]} `,
        h("button.small", { type: "button", onclick: () => this.#forget() }, "Forget keys")
      ))
    ];
  }
  #made = /* @__PURE__ */ new Map();
  /** Makes a node once for each value, so that nothing is read out or loses focus twice. */
  #once(name, value, make) {
    const made = this.#made.get(name);
    if (made?.value === value) return made.node;
    const node = make();
    this.#made.set(name, { value, node });
    return node;
  }
  async #keep() {
    try {
      await keepInBrowser(this.#keys);
      this.#kept = "browser";
    } catch {
      this.#kept = "memory";
    }
    this.#render();
  }
  async #forget() {
    const question = "Forget the keys in this browser? Without a copy of them nothing can be opened any more.";
    if (!confirm(question)) return;
    await forgetKeys();
    this.#end();
    location.hash = "";
    location.reload();
  }
};
function localStorageOrNull() {
  try {
    return localStorage;
  } catch {
    return null;
  }
}

// transport/hub/page/src/main.js
async function findKeys() {
  if (!globalThis.crypto?.subtle) {
    return { trouble: "This browser does no cryptography here: it needs HTTPS, or an address on this machine such as http://127.0.0.1." };
  }
  try {
    const text = takeKeysFromAddress(location, history) ?? await takeKeysByToken(location, history, fetch.bind(globalThis));
    if (text !== null) {
      const keys = await parseKeys(text);
      return { keys, kept: keepInTab(text) ? "tab" : "memory" };
    }
  } catch (err) {
    if (!(err instanceof KeysError)) throw err;
    return { trouble: err.message };
  }
  return await loadKeys() ?? {};
}
startApp(document.getElementById("app"), await findKeys());
