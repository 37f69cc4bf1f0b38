// A hub for tests and for looking at the page: keeps sealed items in memory and
// answers the viewer API. With mixup it lies as `lensctl hub --mixup` does.

import { base64url, equal, hex, sha256, unbase32, unbase64url } from "../bytes.js";
import { decode } from "../cbor.js";
import { parseEnvelope } from "../cose.js";

const ROUTES = [
  ["GET", /^\/api\/v1\/hub$/, "hub"], ["POST", /^\/api\/v1\/challenge$/, "challenge"], ["POST", /^\/api\/v1\/session$/, "session"],
  ["GET", /^\/api\/v1\/records$/, "listRecords"], ["GET", /^\/api\/v1\/devices$/, "listDevices"], ["GET", /^\/api\/v1\/timeline$/, "timeline"],
  ["GET", /^\/api\/v1\/items\/(.+)$/, "item"], ["POST", /^\/api\/v1\/reports$/, "report"],
  ["PUT", /^\/api\/v1\/pair\/(.+)$/, "putPairing"], ["GET", /^\/api\/v1\/pair\/(.+)$/, "getPairing"], ["POST", /^\/api\/v1\/devices\/(\w+)\/letters$/, "letter"],
];
const OPEN = ["hub", "challenge", "session", "putPairing", "getPairing"];

export class FakeHub {
  items = [];
  records = [];
  reports = [];
  letters = [];
  pairing = new Map();
  devices = ["hub.example:8443"];
  online = new Set();
  hidden = new Set();
  offline = false;
  #sessions = new Map();
  #nonce = null;
  #waiting = new Set();

  constructor({ mixup = 0, servedBy = "hub", random = Math.random, id = "a".repeat(52) } = {}) {
    Object.assign(this, { mixup, servedBy, random, id });
  }

  /** Stores a sealed item; hidden keeps it out of the time line and 404s it. */
  put({ raw, item }, { hidden = false } = {}) {
    if (hidden) this.hidden.add(item.ref);
    this.items.push({ cursor: this.items.length + 1, raw, item });
    for (const wake of this.#waiting) wake();
  }

  putRecord(owner, device, record) {
    this.records.push({ owner: owner.id, device: device.id, viewer: owner.viewer.spki, bytes: record.bytes });
    this.online.add(device.id);
  }

  /** What fetch would answer. */
  async fetch(url, { method = "GET", headers = {}, body, signal } = {}) {
    if (this.offline) throw new TypeError("fetch failed");
    const { pathname, searchParams } = new URL(url, "http://hub");
    for (const [m, pattern, name] of ROUTES) {
      const match = pattern.exec(pathname);
      if (!match || m !== method) continue;
      const owner = this.#sessions.get((headers.Authorization ?? "").replace("Bearer ", ""));
      if (!owner && !OPEN.includes(name)) return answer({ error: "no session" }, 401);
      return this[name]({ owner, query: searchParams, place: match[1], body: typeof body === "string" ? JSON.parse(body) : body, signal });
    }
    return answer({ error: "not there" }, 404);
  }

  hub() {
    return answer({ name: "fake hub", version: "0", id: this.id, mixup: this.mixup, served_by: this.servedBy, devices: this.devices });
  }

  challenge() {
    this.#nonce = crypto.getRandomValues(new Uint8Array(32));
    return answer({ nonce: base64url(this.#nonce) });
  }

  async session({ body }) {
    const { payload } = parseEnvelope(unbase64url(body.statement), 1024);
    const says = decode(payload);
    const good = says.get(0) === "lensward/signin/1" && equal(says.get(3), this.#nonce) && equal(says.get(4), unbase32(this.id));
    const owner = this.records.find((r) => equal(r.viewer, says.get(2)))?.owner;
    if (!good || !owner) return answer({ error: "not a viewer of this owner" }, 403);
    const token = base64url(crypto.getRandomValues(new Uint8Array(16)));
    this.#sessions.set(token, owner);
    return answer({ token, expires: Date.now() / 1000 + 3600 });
  }

  endSessions() {
    this.#sessions.clear();
  }

  listRecords({ owner }) {
    return answer({ records: this.records.filter((r) => r.owner === owner).map((r) => base64url(r.bytes)) });
  }

  listDevices({ owner }) {
    const devices = this.records.filter((r) => r.owner === owner).map(({ device }) => ({ id: device, online: this.online.has(device), seen: Math.floor(Date.now() / 1000) }));
    return answer({ devices });
  }

  async timeline({ owner, query, signal }) {
    const after = Number(query.get("after"));
    const mine = () => this.items.filter(({ cursor, item }) => cursor > after && item.header.owner === owner && !this.hidden.has(item.ref));
    const deadline = Date.now() + Number(query.get("wait")) * 1000;
    while (mine().length === 0 && Date.now() < deadline && !signal?.aborted) {
      await this.#wait(signal);
    }
    signal?.throwIfAborted();
    const rows = mine().slice(0, Number(query.get("limit")));
    return answer({
      items: rows.map((row) => ({ cursor: row.cursor, envelope: base64url(this.#lie(row).item.envelope) })),
      next: rows.at(-1)?.cursor ?? after,
    });
  }

  item({ owner, place }) {
    const found = this.items.find(({ item }) => item.ref === place && item.header.owner === owner && !this.hidden.has(item.ref));
    if (!found) return answer({ error: "not there" }, 404);
    return new Response(this.#lie(found).raw);
  }

  report({ body }) {
    this.reports.push(body);
    return new Response(null, { status: 204 });
  }

  letter({ place, body }) {
    this.letters.push({ device: place, bytes: body });
    return new Response(null, { status: 204 });
  }

  putPairing({ place, body }) {
    this.pairing.set(place, body.slice());
    for (const wake of this.#waiting) wake();
    return new Response(null, { status: 204 });
  }

  async getPairing({ place, query, signal }) {
    const deadline = Date.now() + Number(query.get("wait")) * 1000;
    for (;;) {
      const message = this.pairing.get(place);
      if (message && hex(await sha256(message)) !== query.get("not")) return new Response(message);
      if (Date.now() >= deadline || signal?.aborted) return new Response(null, { status: 204 });
      await this.#wait(signal);
    }
  }

  async #wait(signal) {
    await new Promise((resolve) => {
      this.#waiting.add(resolve);
      setTimeout(resolve, 50);
      signal?.addEventListener("abort", resolve, { once: true });
    });
  }

  #lie(row) {
    const others = this.items.filter(({ item }) => item.header.owner !== row.item.header.owner || item.header.device !== row.item.header.device);
    if (others.length === 0 || this.random() >= this.mixup) return row;
    return others[Math.floor(this.random() * others.length)];
  }
}

function answer(value, status = 200) {
  return new Response(JSON.stringify(value), { status, headers: { "Content-Type": "application/json" } });
}
