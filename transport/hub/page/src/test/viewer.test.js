import assert from "node:assert/strict";
import test from "node:test";
import { Client } from "../api.js";
import { CLIP, EVENT, GAP, THUMBNAIL } from "../item.js";
import { parseKeys } from "../keys.js";
import { Viewer } from "../viewer.js";
import { FakeHub } from "./fakehub.js";
import { Camera, eventID, makeKey, makeOwner, own } from "./maker.js";

const quick = { first: 1, most: 4 };
const TIMING = { retry: quick, outage: quick, stranger: quick, missing: quick, devices: 10, records: 60_000, recordsAtMost: 0, wait: 1 };
const JPEG = Uint8Array.of(0xff, 0xd8, 0xff, 0xd9);

class Store extends Map {
  getItem(k) { return this.get(k) ?? null; }
  setItem(k, v) { this.set(k, v); }
}

async function watch(t, hub, owner, { storage = new Store() } = {}) {
  const keys = await parseKeys(owner.file);
  const api = new Client(keys, { base: "http://hub", fetch: (url, init) => hub.fetch(url, init) });
  const viewer = new Viewer({ keys, api, storage, timing: TIMING });
  const stop = new AbortController();
  const over = viewer.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await over;
  });
  return viewer;
}

/** Waits until holds() is true; the test's own time limit ends a wait in vain. */
async function until(t, holds) {
  while (!(await holds())) {
    t.signal.throwIfAborted();
    await new Promise((r) => setTimeout(r, 2));
  }
}

async function home(hub) {
  const owner = await makeOwner();
  const camera = await Camera.paired(owner);
  hub.putRecord(owner, camera.key, camera.record);
  return { owner, camera };
}

async function putEvent(hub, camera, { parts = 2, captured = 1_770_000_100_000 } = {}) {
  const event = eventID();
  hub.put(await camera.seal(THUMBNAIL, JPEG, { event, captured }));
  for (let part = 0; part < parts; part++) hub.put(await camera.seal(CLIP, Uint8Array.of(part), { event, part, last: part === parts - 1, captured }));
  hub.put(await camera.sealJSON(EVENT, { start: captured, end: captured + 5000, score: 0.2, box: [0, 0, 1, 1], parts }, { event, captured }));
  return event;
}

const opts = { timeout: 30_000 };

test("an honest hub: everything is taken, nothing withheld", opts, async (t) => {
  const hub = new FakeHub();
  const { owner, camera } = await home(hub);
  await putEvent(hub, camera);
  const viewer = await watch(t, hub, owner);
  await until(t, () => viewer.counts.verified === 4);
  const [event] = viewer.timeline.sorted();
  viewer.describe(event);
  await until(t, () => event.says);
  assert.equal(event.says.parts, 2);
  assert.equal(event.parts.size, 2);
  assert.ok(event.isOver);
  assert.deepEqual((await viewer.open(event.thumbnail)).bytes, JPEG);
  await putEvent(hub, camera);
  await until(t, () => viewer.timeline.events.size === 2);
  assert.equal(viewer.withheld.total, 0);
  assert.equal(viewer.state, "live");
});

test("a liar: others' items are withheld and reported, one's own are all there", opts, async (t) => {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const hub = new FakeHub({ mixup: 0.5, random });
  const homes = [await home(hub), await home(hub), await home(hub)];
  for (let i = 0; i < 4; i++) for (const { camera } of homes) await putEvent(hub, camera, { parts: 1 });
  for (const { camera } of homes) hub.put(await camera.checkpoint());
  const viewer = await watch(t, hub, homes[0].owner);
  await until(t, () => viewer.counts.verified === 13);
  for (const stub of viewer.timeline.stubs.values()) {
    const { header } = await viewer.open(stub);
    assert.equal(header.owner, homes[0].owner.id);
  }
  assert.ok(viewer.withheld.total > 0);
  for (const entry of viewer.withheld.entries) assert.equal(entry.misrouted, "wrong-owner");
  await until(t, () => viewer.withheld.entries.every((e) => e.first.reported === "yes"));
  assert.ok(hub.reports.length > 0);
  assert.ok(hub.reports.every((r) => r.reason === "wrong-owner"));
});

test("what the hub hides is asked for by name, then said to be missing", opts, async (t) => {
  const hub = new FakeHub();
  const { owner, camera } = await home(hub);
  await putEvent(hub, camera);
  hub.put(await camera.seal(THUMBNAIL, JPEG, { event: eventID() }), { hidden: true });
  hub.put(await camera.checkpoint());
  const viewer = await watch(t, hub, owner);
  await until(t, () => viewer.notices().length === 1 && viewer.notices()[0].delivered);
  const [notice] = viewer.notices();
  assert.deepEqual([notice.type, notice.count, notice.device], ["missing", 1, camera.key.id]);
  hub.hidden.clear();
  hub.put(await camera.checkpoint());
  await until(t, () => viewer.notices().length === 0);
  assert.equal(viewer.withheld.total, 0);
});

test("what the camera dropped is said, with its reason", opts, async (t) => {
  const hub = new FakeHub();
  const { owner, camera } = await home(hub);
  const before = await camera.seal(THUMBNAIL, JPEG, { event: eventID() });
  hub.put(before);
  const first = await camera.seal(CLIP, JPEG, { event: eventID() });
  const last = await camera.seal(CLIP, JPEG, { event: eventID() });
  const dropped = { chain: 1, from: 2, to: 3, first_prev: first.item.header.prev, last_hash: last.item.hash, kind: CLIP, reason: "budget" };
  hub.put(await camera.sealJSON(GAP, { dropped: [dropped] }));
  const viewer = await watch(t, hub, owner);
  await until(t, () => viewer.notices().length === 1);
  const [notice] = viewer.notices();
  assert.deepEqual([notice.type, notice.count, notice.kind, notice.reason], ["dropped", 2, CLIP, "budget"]);
});

test("a roll-back of the ownership record is refused, also after a reload", opts, async (t) => {
  const hub = new FakeHub();
  const { owner, camera } = await home(hub);
  const first = hub.records[0];
  const second = await own(owner, camera.key, { revision: 2, previous: Buffer.from(camera.record.hash).toString("hex") });
  hub.records = [{ ...first, bytes: second.bytes }];
  const storage = new Store();
  const viewer = await watch(t, hub, owner, { storage });
  await until(t, () => viewer.records.cameras[0]?.revision === 2);
  hub.records = [first];
  const again = await watch(t, hub, owner, { storage });
  await until(t, () => again.recordTrouble.length > 0);
  assert.equal(again.recordTrouble[0].reason, "roll-back");
  assert.equal(again.records.cameras[0].revision, 2);
});

test("a record of another owner, or signed by another, gives no camera", opts, async (t) => {
  const hub = new FakeHub();
  const { owner } = await home(hub);
  const [stranger, device] = [await makeOwner(), await makeKey()];
  const base = hub.records[0];
  hub.records.push({ ...base, bytes: (await own(stranger, device)).bytes });
  hub.records.push({ ...base, bytes: (await own(owner, device, { signer: stranger.root })).bytes });
  hub.records.push({ ...base, bytes: (await own(owner, device, { accepter: stranger.root })).bytes });
  const viewer = await watch(t, hub, owner);
  await until(t, () => viewer.recordTrouble.length === 3);
  assert.deepEqual(viewer.recordTrouble.map((r) => r.reason).sort(), ["bad-signature", "bad-signature", "wrong-owner"]);
  assert.equal(viewer.records.cameras.length, 1);
});

test("a camera that is paired while the page is open is taken at once", opts, async (t) => {
  const hub = new FakeHub();
  const { owner } = await home(hub);
  const viewer = await watch(t, hub, owner);
  await until(t, () => viewer.state === "live");
  const camera = await Camera.paired(owner);
  hub.putRecord(owner, camera.key, camera.record);
  await putEvent(hub, camera);
  await until(t, () => viewer.timeline.events.size === 1);
  assert.equal(viewer.withheld.total, 0);
});

test("an outage and an ended session are got over", opts, async (t) => {
  const hub = new FakeHub();
  const { owner, camera } = await home(hub);
  const viewer = await watch(t, hub, owner);
  await until(t, () => viewer.state === "live");
  hub.offline = true;
  await until(t, () => viewer.state === "offline");
  hub.endSessions();
  await putEvent(hub, camera);
  hub.offline = false;
  await until(t, () => viewer.state === "live" && viewer.counts.verified === 4);
  assert.equal(viewer.withheld.total, 0);
});

test("two items in one place: the first stays, the other is withheld", opts, async (t) => {
  const hub = new FakeHub();
  const { owner, camera } = await home(hub);
  const event = eventID();
  const one = await camera.seal(THUMBNAIL, JPEG, { event });
  camera.seq = 0;
  camera.prev = camera.record.hash;
  const other = await camera.seal(THUMBNAIL, JPEG, { event });
  hub.put(one);
  hub.put(other);
  const viewer = await watch(t, hub, owner);
  await until(t, () => viewer.withheld.total === 1);
  assert.equal(viewer.withheld.entries[0].reason, "fork");
  assert.equal(viewer.timeline.stubs.get(one.item.ref).hash, one.item.hash);
});

test("a body for other keys is withheld as not decryptable", opts, async (t) => {
  const hub = new FakeHub();
  const { owner, camera } = await home(hub);
  const { recipient } = await makeOwner();
  hub.put(await camera.seal(THUMBNAIL, JPEG, { event: eventID(), recipient }));
  const viewer = await watch(t, hub, owner);
  await until(t, () => viewer.timeline.events.size === 1);
  await assert.rejects(viewer.open(viewer.timeline.sorted()[0].thumbnail), { reason: "cannot-decrypt" });
  assert.equal(viewer.withheld.entries[0].reason, "cannot-decrypt");
  assert.equal(viewer.counts.opened, 0);
});

test("keys that the hub does not know wait for their first camera", opts, async (t) => {
  const hub = new FakeHub();
  const owner = await makeOwner();
  const viewer = await watch(t, hub, owner);
  await until(t, () => viewer.state === "no-camera");
  const camera = await Camera.paired(owner);
  hub.putRecord(owner, camera.key, camera.record);
  await until(t, () => viewer.state === "live");
});

test("what an earlier visit saw is missed when the hub hands out less", opts, async (t) => {
  const hub = new FakeHub();
  const { owner, camera } = await home(hub);
  await putEvent(hub, camera);
  const storage = new Store();
  const viewer = await watch(t, hub, owner, { storage });
  await until(t, () => viewer.counts.verified === 4);
  await until(t, () => storage.get(`lensward.heads.${owner.id}`)?.includes("4"));
  for (const { item } of hub.items) if (item.header.seq > 2) hub.hidden.add(item.ref);
  const again = await watch(t, hub, owner, { storage });
  await until(t, () => again.notices().length === 1);
  assert.deepEqual([again.notices()[0].count, again.counts.verified], [2, 2]);
});

test("a row that is swapped with another own item is asked for again, and so is the other", opts, async (t) => {
  const hub = new FakeHub();
  const { owner, camera } = await home(hub);
  const one = await camera.seal(THUMBNAIL, JPEG, { event: eventID() });
  const two = await camera.seal(THUMBNAIL, JPEG, { event: eventID() });
  hub.put(one);
  hub.put(two);
  const rows = [two, two]; // the first reading's answers: item 2 in both rows
  const honest = hub.timeline.bind(hub);
  hub.timeline = async (request) => {
    const answer = await (await honest(request)).json();
    for (const row of answer.items) row.envelope = Buffer.from((rows.shift() ?? hub.items[row.cursor - 1]).item.envelope).toString("base64url");
    return new Response(JSON.stringify(answer));
  };
  const viewer = await watch(t, hub, owner);
  await until(t, () => viewer.counts.verified === 2);
  assert.deepEqual(viewer.withheld.entries.map((e) => e.reason), ["replayed"]);
});

test("a hub that lost its store is read from its beginning", opts, async (t) => {
  const hub = new FakeHub();
  const { owner, camera } = await home(hub);
  await putEvent(hub, camera);
  const viewer = await watch(t, hub, owner);
  await until(t, () => viewer.counts.verified === 4 && viewer.state === "live");
  const honest = hub.timeline.bind(hub);
  hub.items = [];
  hub.timeline = async (request) => {
    const answer = await (await honest(request)).json();
    return new Response(JSON.stringify({ ...answer, next: Math.min(answer.next, hub.items.length) }));
  };
  await putEvent(hub, camera, { parts: 1 });
  await until(t, () => viewer.counts.verified === 7);
  assert.equal(viewer.withheld.total, 0);
});
