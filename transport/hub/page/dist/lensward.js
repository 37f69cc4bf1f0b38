import {
  Audit,
  BodyError,
  CHECKPOINT,
  CLIP,
  CLOCK_FLOOR,
  CLOCK_UNSET,
  ECDSA_P256,
  EVENT,
  GAP,
  Refusal,
  SPKI_HEAD,
  THUMBNAIL,
  base32,
  base64url,
  checkPolicy,
  concat,
  encode,
  generateHybridIdentity,
  identityToRecipient,
  isP256SPKI,
  openItem,
  parseCheckpoint,
  parseEnvelope,
  parseEvent,
  parseGap,
  parseItem,
  parseJSON,
  parseOwnership,
  refuse,
  sha256,
  sign1,
  unbase32,
  unbase64url,
  verifyEnvelope,
  verifyItem,
  verifyOwnership
} from "./lensward-shared.js";

// transport/hub/page/src/keys.js
var FORMAT = "lensward/owner-keys/1";
var MAX_FILE_SIZE = 64 * 1024;
var MAX_IDENTITIES = 64;
var KeysError = class extends Error {
  constructor(message) {
    super(message);
    this.name = "KeysError";
  }
};
async function parseKeys(text) {
  if (text.length > MAX_FILE_SIZE) throw new KeysError("The file is too large to be an owner's keys.");
  let file;
  try {
    file = parseJSON(text);
  } catch {
    throw new KeysError("This is not a key file: it is not JSON.");
  }
  if (file === null || typeof file !== "object" || file.format !== FORMAT) {
    throw new KeysError(`This is not a key file: its format is not ${FORMAT}.`);
  }
  const ownerKey = field(file, "owner_key");
  if (!isP256SPKI(ownerKey) || base32(await sha256(ownerKey)) !== file.owner) {
    throw new KeysError("The owner's ID in the file is not the one of its key.");
  }
  return {
    owner: file.owner,
    ownerKey,
    identities: checkIdentities(file.household_identities),
    ...await importSigningKey(field(file, "viewer_key"))
  };
}
function field(file, name) {
  try {
    return unbase64url(file[name]);
  } catch {
    throw new KeysError(`The field ${name} of the key file is missing or broken.`);
  }
}
function checkIdentities(list2) {
  if (!Array.isArray(list2) || list2.length === 0 || list2.length > MAX_IDENTITIES) {
    throw new KeysError("The key file holds no household identity, or too many.");
  }
  for (const identity of list2) {
    if (typeof identity !== "string" || !/^AGE-SECRET-KEY-(PQ-)?1[A-Z0-9]+$/.test(identity)) {
      throw new KeysError("A household identity in the key file is not an age identity.");
    }
  }
  return list2;
}
async function importSigningKey(pkcs8) {
  try {
    const readable = await crypto.subtle.importKey("pkcs8", pkcs8, ECDSA_P256, true, ["sign"]);
    return {
      viewerKey: await crypto.subtle.importKey("pkcs8", pkcs8, ECDSA_P256, false, ["sign"]),
      viewerSPKI: await publicOf(readable)
    };
  } catch {
    throw new KeysError("The viewer key in the file is not a P-256 private key.");
  }
}
async function publicOf(privateKey) {
  const { x, y } = await crypto.subtle.exportKey("jwk", privateKey);
  return concat(SPKI_HEAD, unbase64url(x), unbase64url(y));
}
async function makeKeys() {
  const root = await crypto.subtle.generateKey(ECDSA_P256, true, ["sign", "verify"]);
  const viewer = await crypto.subtle.generateKey(ECDSA_P256, true, ["sign", "verify"]);
  const ownerKey = new Uint8Array(await crypto.subtle.exportKey("spki", root.publicKey));
  const identity = await generateHybridIdentity();
  const text = JSON.stringify({
    format: FORMAT,
    owner: base32(await sha256(ownerKey)),
    owner_key: base64url(ownerKey),
    owner_private_key: base64url(new Uint8Array(await crypto.subtle.exportKey("pkcs8", root.privateKey))),
    viewer_key: base64url(new Uint8Array(await crypto.subtle.exportKey("pkcs8", viewer.privateKey))),
    household_identities: [identity]
  }, null, 2) + "\n";
  return { keys: await parseKeys(text), text, recipient: await identityToRecipient(identity) };
}
function takeKeysFromAddress(location2, history2) {
  const match = /^#keys=([A-Za-z0-9_-]*)$/.exec(location2.hash);
  if (!match) return null;
  history2.replaceState(null, "", location2.pathname + location2.search);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(unbase64url(match[1]));
  } catch {
    throw new KeysError("The link's keys are broken: it may have been cut off when it was copied.");
  }
}
async function takeKeysByToken(location2, history2, fetch2) {
  const match = /^#once=([A-Za-z0-9_-]+)$/.exec(location2.hash);
  if (!match) return null;
  history2.replaceState(null, "", location2.pathname + location2.search);
  const answer = await fetch2("/local/keys", { method: "POST", headers: { Authorization: `Bearer ${match[1]}` } });
  if (!answer.ok) throw new KeysError("This link was used before, or is not from here. Start `lensctl view` again for a new one.");
  return answer.text();
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
  return keys ? { keys, kept: "browser" } : null;
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
  await inStore("readwrite", (store) => store.delete("owner")).catch(() => void 0);
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
    return await promise(use(db.transaction(STORE, mode).objectStore(STORE)));
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

// transport/hub/page/src/api.js
var MAX_ITEM_SIZE = 4 * 1024 * 1024 + 8 * 1024;
var MAX_JSON_SIZE = 8 * 1024 * 1024;
var MAX_LIST = 4096;
var MAX_TIMELINE_WAIT = 25;
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
   * @returns {Promise<{id: string, mixup: number, servedBy: "hub"|"view"}>} mixup is
   *   the share of answers that a hub which was told to lie gets wrong, 0 to 1
   */
  async hub(signal) {
    const { id, mixup, served_by: servedBy } = await this.#json("GET", "/api/v1/hub", { signal, open: true });
    decoded(() => unbase32(id));
    return { id, mixup: mixup > 0 && mixup <= 1 ? mixup : 0, servedBy: servedBy === "view" ? "view" : "hub" };
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
    if (body !== void 0) headers["Content-Type"] = "application/json";
    const timeout = AbortSignal.timeout(TIMEOUT_MS + extra);
    try {
      return await this.#fetch(this.#base + path, {
        method,
        headers,
        body: body === void 0 ? void 0 : JSON.stringify(body),
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

// transport/hub/page/src/heads.js
var MAX_CHAINS = 512;
var Heads = class {
  #storage;
  #key;
  #heads = /* @__PURE__ */ new Map();
  #moved = false;
  /** @param {string} owner @param {Storage|null} storage */
  constructor(owner, storage) {
    this.#storage = storage;
    this.#key = `lensward.heads.${owner}`;
    try {
      const kept = JSON.parse(storage.getItem(this.#key) ?? "[]");
      this.#heads = new Map(kept.filter(([, seq]) => Number.isSafeInteger(seq) && seq > 0));
    } catch {
    }
  }
  /** What is known from before: {device, epoch, chain, seq}. */
  *known() {
    for (const [name, seq] of this.#heads) {
      const [device, epoch, chain] = name.split("/");
      yield { device, epoch: Number(epoch), chain: Number(chain), seq };
    }
  }
  note({ device, epoch, chain, seq }) {
    const name = `${device}/${epoch}/${chain}`;
    if (seq <= (this.#heads.get(name) ?? 0)) return;
    this.#heads.delete(name);
    this.#heads.set(name, seq);
    if (this.#heads.size > MAX_CHAINS) this.#heads.delete(this.#heads.keys().next().value);
    this.#moved = true;
  }
  save() {
    if (!this.#moved) return;
    try {
      this.#storage.setItem(this.#key, JSON.stringify([...this.#heads]));
      this.#moved = false;
    } catch {
    }
  }
};

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
function wasDelivered(run, camera) {
  if (!camera?.says || !camera.checkpoint) return false;
  const { epoch, chain, seq } = camera.checkpoint.header;
  const isLater = epoch === run.epoch && (chain > run.chain || chain === run.chain && seq > run.to);
  return isLater && camera.says.depth === 0 && camera.says.aside === 0;
}

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
   * @param {AbortSignal} options.signal
   */
  constructor({ api, identities, jobs, retry, check, withhold, trouble, signal }) {
    this.#api = api;
    this.#identities = identities;
    this.#jobs = jobs;
    this.#retry = retry;
    this.#check = check;
    this.#withhold = withhold;
    this.#trouble = trouble;
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
   * @returns {Promise<{header: object, bytes: Uint8Array}>}
   */
  open(stub, { urgency = stub.header.captured, isStale = () => false } = {}) {
    let opening = this.#opening.get(stub.hash);
    if (!opening) {
      opening = withResolvers();
      this.#opening.set(stub.hash, opening);
      opening.promise.catch(() => void 0).finally(() => this.#opening.delete(stub.hash));
      this.#openByJob(stub, urgency, isStale, opening);
    }
    return opening.promise;
  }
  #openByJob(stub, urgency, isStale, { resolve, reject }) {
    let tries = 0;
    this.#jobs.add(`open ${stub.hash}`, urgency, async () => {
      if (isStale()) return over(reject, new APIError(0, "a newer one has come"));
      try {
        const item = await this.fetch(stub.header, stub.hash);
        if (item !== null) return over(resolve, { header: item.header, bytes: await this.#decrypt(item, stub) });
      } catch (err) {
        if (err instanceof Refusal) return over(reject, err);
        if (err.status !== 404) return this.#trouble(err) ?? over(reject, err);
      }
      if (++tries < TRIES) return backoff(tries, this.#retry);
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
function withResolvers() {
  const out = {};
  out.promise = new Promise((resolve, reject) => Object.assign(out, { resolve, reject }));
  return out;
}

// transport/hub/page/src/records.js
var MAX_RECORDS_PER_CAMERA = 256;
var Records = class {
  #owner;
  #storage;
  #key;
  #cameras = /* @__PURE__ */ new Map();
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
   * @returns {Promise<{reason: string, detail: string}[]>} what was refused, and why
   */
  async takeAll(raw) {
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
      if (err) refused.push({ reason: err.reason, detail: err.detail });
    }
    this.#save();
    return refused;
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
    this.#cameras.set(device, { epoch, revision, hash: ownership.hash, records, ownership });
    return null;
  }
  #load() {
    try {
      const { cameras } = JSON.parse(this.#storage.getItem(this.#key) ?? '{"cameras":[]}');
      for (const [device, epoch, revision, hash, records] of cameras) {
        this.#cameras.set(device, { epoch, revision, hash, records: new Map(records), ownership: null });
      }
    } catch {
      this.pinned = false;
    }
  }
  #save() {
    const cameras = [...this.#cameras].map(([device, c]) => [device, c.epoch, c.revision, c.hash, [...c.records]]);
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
var TIMING = {
  retry: { first: 250, most: 8e3 },
  // another answer than the one asked for
  outage: { first: 1e3, most: 3e4 },
  // no answer
  stranger: { first: 3e3, most: 3e4 },
  // the hub does not know these keys
  missing: { first: 1e3, most: 6e4 },
  // a place that the hub says is empty
  devices: 1e4,
  records: 6e4,
  recordsAtMost: 2e3,
  // how often a row may make us ask for records
  wait: 25
  // seconds of a long poll
};
var ROWS = 200;
var MISSING_AT_ONCE = 100;
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
  #heads;
  #asked = /* @__PURE__ */ new Map();
  #opener = null;
  #cursor = 0;
  #jobs;
  #signal;
  #recordsAt = -Infinity;
  #recordsBusy = null;
  #missingDirty = false;
  #gapsToRead = 0;
  /**
   * @param {object} options
   * @param {import("./keys.js").Keys} options.keys
   * @param {import("./api.js").Client} options.api
   * @param {Storage|null} options.storage where the pins are kept
   */
  constructor({ keys, api, storage, timing = TIMING }) {
    super();
    this.#keys = keys;
    this.#api = api;
    this.#timing = timing;
    this.records = new Records(keys.owner, storage);
    this.#heads = new Heads(keys.owner, storage);
    for (const head of this.#heads.known()) this.#audit.expect(head);
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
      trouble: (err) => this.#afterTrouble(err)
    });
    try {
      await Promise.all([this.#follow(), this.#watchDevices()]);
    } catch (err) {
      if (!signal.aborted) throw err;
    }
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
        await sleep(backoff(failures++, stranger ? this.#timing.stranger : this.#timing.outage), this.#signal);
      }
    }
  }
  async #greet() {
    const hub = await this.#api.hub(this.#signal);
    if (this.hub !== null && this.hub.id !== hub.id) {
      this.#readAnew();
    }
    this.hub = hub;
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
      this.#heads.save();
    }
    if (Date.now() - this.#recordsAt > this.#timing.records) await this.#refreshRecords();
  }
  async #watchDevices() {
    for (; ; ) {
      try {
        if (this.state === "live" || this.state === "catching-up") {
          const devices = await this.#api.devices(this.#signal);
          this.presence = new Map(devices.map(({ id, ...word }) => [id, word]));
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
    const raw = await this.#api.records(this.#signal);
    this.#recordsAt = Date.now();
    this.recordTrouble = await this.records.takeAll(raw);
    this.#changed("cameras");
  }
  /** Begins the time line from its beginning: what was taken stays, its rows are other ones. */
  #readAnew() {
    this.#cursor = 0;
    for (const stub of this.timeline.stubs.values()) stub.row = 0;
  }
  #askForRow(cursor) {
    let tries = 0;
    this.#jobs.add(`row ${cursor}`, URGENCY.row, async () => {
      try {
        const { rows } = await this.#api.timeline({ after: cursor - 1, limit: 1, signal: this.#signal });
        if (rows[0]?.cursor !== cursor) return null;
        if (!await this.#judgeRow(cursor, await checkRow(rows[0]))) return null;
      } catch (err) {
        return this.#afterTrouble(err);
      }
      return ++tries < TRIES ? backoff(tries, this.#timing.retry) : null;
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
  #accept(item, row) {
    const { deviceKey: _, ...header } = item.header;
    this.#audit.add(header, item.hash);
    const stub = { header, ref: item.ref, hash: item.hash, row };
    const event = this.timeline.take(stub);
    this.#heads.note(header);
    this.#asked.delete(item.ref);
    this.#missingDirty = true;
    if (header.kind === CHECKPOINT) for (const asked of this.#asked.values()) asked.round = 0;
    if (header.kind === CHECKPOINT || header.kind === GAP) this.#read(stub);
    this.#changed("item", { stub, event });
  }
  /** Opens and reads what the camera says about itself. Events are read when they are looked at. */
  #read(stub) {
    const { device, kind } = stub.header;
    const isStale = () => kind === CHECKPOINT && this.timeline.cameras.get(device).checkpoint !== stub;
    if (kind === CHECKPOINT && this.state === "catching-up") {
      this.#jobs.add(`checkpoint ${device}`, URGENCY.chain, async () => {
        if (this.state === "catching-up") return 200;
        this.#readNow(this.timeline.cameras.get(device).checkpoint, () => false);
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
      const { bytes } = await this.open(stub, { urgency: header.kind === EVENT ? URGENCY.eventRecord : URGENCY.chain, isStale });
      if (header.kind === GAP) this.#audit.explain(header, parseGap(bytes));
      if (header.kind === EVENT) this.timeline.events.get(`${header.device}/${header.event}`).says = parseEvent(bytes);
      if (header.kind === CHECKPOINT) this.timeline.cameras.get(header.device).says = parseCheckpoint(bytes);
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
    let misrouted = "";
    if (item && "envelope" in item) {
      try {
        checkPolicy(this.records.policy, item.header);
      } catch (err) {
        misrouted = err.reason;
      }
    }
    const proof = item?.envelope?.slice() ?? null;
    const header = item?.header ?? null;
    const entry = this.withheld.add({ from, reason: refusal2.reason, misrouted, detail: refusal2.detail, header, proof, asked });
    if (MISROUTED.has(misrouted) && proof !== null) this.#report(entry, item.hash);
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
    let budget = MISSING_AT_ONCE;
    for (const run of this.#audit.missing().reverse()) {
      if (run.dropped) continue;
      for (let seq = run.to; seq >= run.from && budget > 0; seq--, budget--) this.#ask({ ...run, seq });
    }
    this.#changed("missing");
  }
  #ask({ device, epoch, chain, seq }) {
    const place = { device, epoch, chain, seq };
    const ref = `${device}/${epoch}/${chain}/${seq}`;
    const asked = this.#asked.get(ref) ?? { tries: 0, round: 0 };
    if (asked.round > 0) return;
    this.#asked.set(ref, asked);
    this.#jobs.add(`ask ${ref}`, URGENCY.missing, async () => {
      if (this.#audit.has(place)) return null;
      let timing = this.#timing.retry;
      try {
        const item = await this.#opener.fetch(place);
        if (item !== null) {
          if (!this.#audit.has(place)) this.#accept(item, 0);
          this.#askForMissing();
          return null;
        }
      } catch (err) {
        if (err instanceof Refusal) {
          this.#withhold("item", err, null, ref);
          return null;
        }
        if (!(err instanceof APIError) || err.status !== 404) return this.#afterTrouble(err);
        timing = this.#timing.missing;
        asked.tries++;
      }
      asked.round++;
      this.#changed("missing");
      return asked.round < TRIES ? backoff(asked.round, timing) : null;
    }, backoff(0, this.#timing.missing));
  }
  /** How often a place was asked for in vain; all too often where only other things came. */
  #triesFor(ref) {
    const { tries = 0, round = 0 } = this.#asked.get(ref) ?? {};
    return round >= TRIES ? TRIES : tries;
  }
  /** What is not there, in the order of time: see missing.js. */
  notices() {
    return missingNotices(this.#audit.missing(), this.timeline, (ref) => this.#triesFor(ref));
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
  const element = document.createElement(tag);
  if (classes.length > 0) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (key === "data") Object.assign(element.dataset, value);
    else if (key === "aria") for (const [k, v] of Object.entries(value)) element.setAttribute(`aria-${k}`, v);
    else if (key === "role") element.setAttribute("role", value);
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element[key] = value;
  }
  element.append(...children2.flat().filter((c) => c !== null && c !== void 0 && c !== false));
  return element;
}
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
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
var CAUSES = { covered: "view blocked", moved: "camera moved" };
var CAUSE_TEXTS = {
  motion: "something moved",
  covered: "something blocked the camera's view",
  moved: "the camera itself was turned or knocked"
};
var DROPPED = {
  budget: "its storage for what was not delivered yet was used up",
  full: "its storage was full",
  corrupt: "its storage was damaged",
  superseded: "better ones took their place",
  ownership: "the camera changed its owner"
};
function noticeText({ type, count, kind, reason, delivered }) {
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

// transport/hub/page/src/ui/cameras.js
var CamerasView = class {
  #viewer;
  #list = h("ul.cameras");
  #trouble = h("div.record-trouble");
  constructor(viewer) {
    this.#viewer = viewer;
    this.element = h("section.cameras-view", { aria: { label: "Cameras" } }, h("h2", {}, "Cameras"), this.#list, this.#trouble);
  }
  render() {
    const cameras = this.#viewer.records.cameras;
    arrange(this.#list, cameras.length > 0 ? cameras.map((camera) => this.#camera(camera)) : [h("li.quiet", {}, "No camera is paired with your keys yet.")]);
    arrange(this.#trouble, this.#viewer.recordTrouble.map(({ reason, detail }) => h("p.warning", { data: { reason } }, `The hub answered with an ownership record that was refused: ${detail || reason}.`)));
  }
  #camera({ device, ownership }) {
    const presence = this.#viewer.presence.get(device);
    const known = this.#viewer.timeline.cameras.get(device);
    const header = known?.last.header;
    const protection = header?.protection ?? ownership?.acceptance.protection;
    const online = presence ? presence.online ? "online" : "offline" : "not known";
    return h(
      "li.camera-card",
      { data: { online, device } },
      h("h3", { title: device }, h("span.dot", { aria: { hidden: "true" } }), cameraName(device)),
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
    const title = h("h2", { id: "event-title" }, `${cameraName(event.device)}, ${fullText(event.start)}`);
    const close = h("button.close", { type: "button", aria: { label: "Close" }, onclick: () => this.element.close() }, "Close");
    this.element = h(
      "dialog.event",
      { aria: { labelledby: "event-title" }, onclose: () => this.close(), onclick: (e) => this.#clickOutside(e) },
      h("div.event-body", {}, h("header", {}, title, close), this.#stage, this.#trouble, this.#status, this.#details, h("p.actions", {}, this.#save))
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
      says && ["Lasted", lengthText((says.end - says.start) / 1e3)],
      says && ["What", CAUSE_TEXTS[says.cause]],
      says?.zones.length > 0 && ["Where", says.zones.join(", ")],
      says && ["Movement", `up to ${Math.round(says.score * 100)} % of the picture`],
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
  #empty = h("p.empty", { role: "status" });
  constructor(viewer, pictures) {
    this.#viewer = viewer;
    this.#pictures = pictures;
    this.element = h("section.events", { aria: { label: "Events" } }, this.#empty, this.#list, this.#more);
  }
  #showMore() {
    this.#window += PAGE;
    this.render();
  }
  render() {
    const events = this.#viewer.timeline.sorted();
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
    setText(this.#empty, emptyText(this.#viewer));
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
    const element = this.#notices.get(notice.key);
    element.dataset.type = notice.delivered ? "withheld" : notice.type;
    setText(element.firstChild, noticeText(notice));
    return element;
  }
};
function newDay() {
  const heading = h("h2");
  const list2 = h("ol.grid");
  return { heading, list: list2, element: h("section.day", {}, heading, list2) };
}
function emptyText({ state, records }) {
  if (state === "live") return "Nothing has moved yet. What your cameras see will appear here by itself.";
  if (state === "no-camera" && records.cameras.length > 0) return "The hub does not let these keys look any more: they may have been taken off the list of viewers.";
  if (state === "no-camera") return "This hub knows no camera of yours yet. Pair one with “lensctl pair”; this page goes on by itself.";
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
  if (event.says) words.push(lengthText((event.says.end - event.says.start) / 1e3));
  if (!event.isOver && Date.now() - event.end < RUNNING_MS) words.push("now");
  return words;
}

// transport/hub/page/src/ui/pictures.js
var MOST = 300;
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
      if (this.#kept.size <= MOST) return;
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
          h("p", {}, "Make an owner's keys in this browser, and pair a camera with them afterwards."),
          h("button", { type: "button", onclick: () => this.#make() }, "Make new keys"),
          this.#made
        )
      ),
      h("p.quiet", {}, "What is stored where: your keys stay in this browser until you forget them, and are never sent. Beside them the browser notes which ownership records and how many items it has seen, so that a hub which takes something back is found out. Pictures are only ever in this page's memory. The hub stores what it cannot read, and gets a signature of your viewer key to know whose items to hand out.")
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
    const go = h("button.primary", { type: "button", disabled: true, onclick: () => this.#keep(keys) }, "Continue");
    this.#made.replaceChildren(
      h("p", {}, "Your owner ID:"),
      h("code.id", {}, keys.owner),
      h("p", {}, "Save the copy now. It has your root key, which is kept nowhere else: without it no camera can be paired, and nothing can be opened once this browser is gone."),
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
      const element2 = h(
        "li.withheld-row",
        { data: { reason: entry.misrouted || entry.reason } },
        h("p.why", {}, withheldText(entry)),
        h("p.meta", {}, h("time", { dateTime: new Date(entry.time).toISOString() }, timeText(entry.time)), h("code", {}, codeText(entry)), reported2),
        entry.proof && entry.misrouted && h("button.small", { type: "button", onclick: () => saveProof(entry) }, "Save its signed header")
      );
      this.#rows.set(entry.id, { element: element2, reported: reported2 });
    }
    const { element, reported } = this.#rows.get(entry.id);
    setText(reported, entry.misrouted ? reportedText(entry) : "");
    return element;
  }
};
function codeText({ reason, misrouted, header }) {
  const words = misrouted && misrouted !== reason ? [reason, misrouted] : [reason];
  if (header) words.push(`owner ${header.owner.slice(0, 8)}`, `camera ${header.device.slice(0, 8)}`);
  return words.join(" · ");
}
function saveProof({ proof, header }) {
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
  Object.assign(data, { verified: 0, opened: 0, withheld: 0, wronglyShown: 0, events: 0, state: "keys" });
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
  #render = oncePerFrame(() => this.#renderNow());
  constructor(keys, kept) {
    this.#keys = keys;
    this.#kept = kept;
    this.#viewer = new Viewer({ keys, api: new Client(keys), storage: localStorageOrNull() });
    this.#pictures = new Pictures(this.#viewer, (header) => this.#shown(header), this.#render);
    this.#views = {
      events: new EventsView(this.#viewer, this.#pictures),
      cameras: new CamerasView(this.#viewer),
      withheld: new WithheldView(this.#viewer)
    };
    this.#links = {
      events: h("a", { href: "#/events" }, "Events"),
      cameras: h("a.narrow-only", { href: "#/cameras" }, "Cameras"),
      withheld: h("a", { href: "#/withheld" }, "Withheld", this.#count)
    };
    this.elements = [
      h("header.bar", {}, h("h1", {}, brand()), h("nav", { aria: { label: "Views" } }, Object.values(this.#links)), this.#state),
      this.#banners,
      h("div.columns", {}, h("aside", {}), this.#main),
      this.#footer
    ];
  }
  start() {
    for (const type of ["state", "hub", "cameras", "item", "withheld", "missing"]) {
      this.#viewer.addEventListener(type, () => {
        this.#tally();
        this.#render();
      });
    }
    addEventListener("hashchange", this.#render, { signal: this.#stop.signal });
    const timer = setInterval(this.#render, REFRESH_MS);
    this.#stop.signal.addEventListener("abort", () => clearInterval(timer), { once: true });
    this.#tally();
    this.#render();
    this.#viewer.run(this.#stop.signal).catch((err) => {
      console.error(err);
      this.#banners.append(h("p.banner.warning", { role: "alert" }, `The page stopped because of a fault in it: ${err.message}. Load it again.`));
    });
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
      state
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
    this.#stop.abort();
    this.#pictures.close();
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
