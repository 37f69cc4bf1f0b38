import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import { unbase64url } from "../bytes.js";
import { parseHeads } from "../heads.js";
import { findingFile, NAMES } from "../findings.js";
import { makeKeys } from "../keys.js";
import { APIError } from "../api.js";
import { Viewer } from "../viewer.js";

const folder = new URL("../../../../viewer/testdata/findings/", import.meta.url);
const names = readdirSync(folder).filter((name) => name.endsWith(".json"));

const TIMING = {
  retry: { first: 2, most: 10 }, outage: { first: 5, most: 40 }, stranger: { first: 40, most: 40 }, expected: { first: 10, most: 10 },
  missing: { first: 2, most: 20 }, devices: 30, records: 1000, recordsAtMost: 5, wait: 1, confirm: 30, older: 30, silent: 60,
};

/** What a vector's hub answers in one visit. */
class VisitAPI {
  constructor(visit) {
    Object.assign(this, { visit });
  }

  async hub() {
    return { id: "a".repeat(52), mixup: 0, servedBy: "hub", devices: [], retention: (this.visit.retention ?? 0) * 1000 };
  }

  async records() {
    return (this.visit.records ?? []).map(unbase64url);
  }

  async household(after) {
    return (this.visit.statements ?? []).slice(after).map(unbase64url);
  }

  async devices() {
    return (this.visit.devices ?? []).map((d) => ({ ...d, seen: d.seen === -1 ? Math.floor(this.now() / 1000) : d.seen }));
  }

  async timeline({ after, limit, wait, signal }) {
    const rows = (this.visit.rows ?? []).filter((row) => row.cursor > after).slice(0, limit);
    if (rows.length === 0 && wait > 0) await new Promise((resolve) => { setTimeout(resolve, 20); signal?.addEventListener("abort", resolve, { once: true }); });
    signal?.throwIfAborted();
    return { rows: rows.map((row) => ({ cursor: row.cursor, envelope: unbase64url(row.envelope) })), next: rows.at(-1)?.cursor ?? after };
  }

  async item({ device, epoch, chain, seq }) {
    const found = this.visit.items?.[`${device}/${epoch}/${chain}/${seq}`];
    if (found === undefined) throw new APIError(404, "not there");
    return unbase64url(found);
  }

  async report() {}
}

class MapStorage {
  #map = new Map();
  getItem = (key) => this.#map.get(key) ?? null;
  setItem = (key, value) => { this.#map.set(key, value); };
}

const order = (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.from - b.from);
const place = ({ name, device = "", epoch, chain, from, to }) => ({ name, device, epoch, chain, from, to });

/** One look: everything that is there is opened, and nothing is left to ask. */
async function visitOnce(vector, visit, keys, storage) {
  const api = new VisitAPI(visit);
  const began = Date.now();
  const now = () => visit.at + (Date.now() - began);
  api.now = now;
  const viewer = new Viewer({ keys, api, storage, timing: TIMING, now });
  if (visit.heads) viewer.hearMember(await parseHeads(JSON.stringify(visit.heads), keys.owner));
  const stop = new AbortController();
  const opened = new Set();
  viewer.addEventListener("item", ({ detail: { stub } }) => {
    if (opened.has(stub.ref)) return;
    opened.add(stub.ref);
    viewer.open(stub).catch(() => undefined);
  });
  const running = viewer.run(stop.signal);
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  for (let i = 0; i < 100 && viewer.findings.list.length < visit.find.length; i++) await pause(30);
  await pause(400); // for what is not to be found
  stop.abort();
  await running;
  return viewer.findings.list;
}

test("there are enough vectors, of every name", () => {
  assert.ok(names.length >= 30);
  const found = new Set(names.flatMap((name) => JSON.parse(readFileSync(new URL(name, folder), "utf8")).visits.flatMap((v) => v.find.map((f) => f.name))));
  assert.deepEqual([...found].sort(), [...NAMES].sort());
});

for (const name of names) {
  test(name, { concurrency: false }, async () => {
    const vector = JSON.parse(readFileSync(new URL(name, folder), "utf8"));
    const { keys } = await makeKeys();
    const storage = new MapStorage();
    for (const visit of vector.visits) {
      const found = await visitOnce(vector, visit, { ...keys, owner: vector.owner, identities: [vector.identity] }, storage);
      assert.deepEqual(found.map(place).sort(order), visit.find.map(place).sort(order));
      for (const finding of found) {
        const file = await findingFile(finding);
        assert.match(file.name, /^[a-z-]+-[0-9a-f]{16}\.json$/);
        assert.ok(file.text.length < 512 << 10);
      }
    }
  });
}
