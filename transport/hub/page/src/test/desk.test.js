import assert from "node:assert/strict";
import test from "node:test";
import { Client } from "../api.js";
import { unhex } from "../bytes.js";
import { decode } from "../cbor.js";
import { parseEnvelope } from "../cose.js";
import { THUMBNAIL } from "../item.js";
import { makeKeys, parseKeys } from "../keys.js";
import { parseOwnership, verifyOwnership } from "../ownership.js";
import { MAX_MESSAGE } from "../pairing/message.js";
import { parseCode } from "../pairing/code.js";
import { PairingDesk } from "../pairing/desk.js";
import { Viewer } from "../viewer.js";
import { flipped, PairingCamera } from "./camera.js";
import { FakeHub } from "./fakehub.js";
import { Camera, eventID, makeKey } from "./maker.js";

const QUICK = { again: 20, after: 300, trouble: { first: 5, most: 20 }, wait: 1, tick: 5 };
const VIEWER = {
  retry: { first: 5, most: 40 }, outage: { first: 5, most: 40 }, stranger: { first: 40, most: 40 }, expected: { first: 10, most: 10 },
  missing: { first: 5, most: 40 }, devices: 40, records: 100, recordsAtMost: 5, wait: 1,
};

/** A browser's store: what is kept outlives the desk. */
class Store {
  kept = null;
  writes = 0;
  full = false;
  load = async () => structuredClone(this.kept);
  keep = async (pairing) => {
    if (this.full) throw new Error("quota exceeded");
    this.writes++;
    this.kept = structuredClone(pairing);
  };
  forget = async () => { this.kept = null; };
}

/** An owner with a browser before a hub; `open` loads the page, and again. */
async function world(t, { hub = new FakeHub() } = {}) {
  const { keys } = await makeKeys();
  const store = new Store();
  const w = { keys, hub, store, stop: null };
  w.open = async () => {
    w.stop?.abort();
    w.stop = new AbortController();
    const api = new Client(keys, { fetch: (url, init) => hub.fetch(url, init) });
    w.viewer = new Viewer({ keys, api, storage: null, timing: VIEWER });
    w.desk = new PairingDesk({ keys, api, viewer: w.viewer, store, timing: QUICK });
    w.viewer.run(w.stop.signal).catch(() => undefined);
    w.desk.run(w.stop.signal).catch(() => undefined);
    await until("the hub", () => w.viewer.hub !== null);
  };
  t.after(() => w.stop.abort());
  await w.open();
  return w;
}

async function until(what, is) {
  const deadline = Date.now() + 20_000;
  while (!(await is())) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const place = (w, side) => `${w.desk.session.memory.rendezvous}/${side}`;
const phase = (w) => w.desk.session?.memory.phase;

async function begin(w, options = { wifi: null }) {
  await w.desk.begin(options);
  return w.desk.session.memory.text;
}

test("a camera is added, and its picture is the first", async (t) => {
  const w = await world(t);
  const text = await begin(w, { wifi: { ssid: new TextEncoder().encode("kitchen"), passphrase: "long enough", hidden: false } });
  const code = await parseCode(text);
  assert.deepEqual(code.hub, { id: w.hub.id, addresses: w.hub.devices });
  assert.equal(code.wifi.passphrase, "long enough");
  const camera = await PairingCamera.before(text);
  w.hub.pairing.set(place(w, "camera"), camera.out);
  await until("offered", () => phase(w) === "agreed" && w.hub.pairing.has(place(w, "owner")));
  assert.equal(w.store.kept.memory.text, "", "the code is forgotten once a camera has come");
  assert.ok(!JSON.stringify(w.store.kept).includes("long enough"));
  assert.equal(w.desk.session.memory.device, camera.key.id);
  w.hub.pairing.set(place(w, "camera"), await camera.take(w.hub.pairing.get(place(w, "owner"))));
  await until("done", () => phase(w) === "done");

  const ownership = await parseOwnership(camera.ownership);
  await verifyOwnership(ownership);
  assert.equal(ownership.record.owner, w.keys.owner);
  assert.deepEqual(ownership.record.viewers.map((v) => v.key), [w.keys.viewerSPKI]);
  assert.equal(w.desk.firstPicture, null);
  w.hub.records.push({ owner: w.keys.owner, device: camera.key.id, viewer: w.keys.viewerSPKI, bytes: camera.ownership });
  const sealer = new Camera(camera.key, { root: { hash: decode(parseEnvelope(decode(camera.ownership)[0], 60 << 10).payload).get(3) }, recipient: ownership.record.recipients[0].age }, { hash: unhex(ownership.hash), epoch: 1 });
  const sealed = await sealer.seal(THUMBNAIL, new Uint8Array([0xff, 0xd8, 0xff]), { event: eventID() });
  w.hub.put(sealed);
  await until("the first picture", () => w.desk.firstPicture !== null);
  await w.desk.say("mine");
  await until("the pairing is forgotten", () => w.store.kept === null);
});

test("a page that is loaded again goes on where it was, at each step", async (t) => {
  const w = await world(t);
  const text = await begin(w);
  await w.open();
  await until("begun again", () => phase(w) === "begun");
  assert.equal(w.desk.session.memory.text, text);
  const camera = await PairingCamera.before(text);
  w.hub.pairing.set(place(w, "camera"), camera.out);
  await until("offered", () => phase(w) === "agreed" && w.hub.pairing.has(place(w, "owner")));
  const offer = w.hub.pairing.get(place(w, "owner"));
  await w.open();
  w.hub.pairing.delete(`${w.store.kept.memory.rendezvous}/owner`);
  await until("the offer again", () => w.desk.session && w.hub.pairing.has(place(w, "owner")));
  assert.deepEqual(w.hub.pairing.get(place(w, "owner")), offer, "the same offer, not a second one");
  w.hub.pairing.set(place(w, "camera"), await camera.take(offer));
  await until("done", () => phase(w) === "done");
  await w.open();
  await until("done still", () => phase(w) === "done");
  await until("its ownership is taken", () => w.viewer.records.cameras[0]?.device === camera.key.id);
});

test("an accept that never comes is found in the hub's records", async (t) => {
  const w = await world(t);
  const camera = await PairingCamera.before(await begin(w));
  w.hub.pairing.set(place(w, "camera"), camera.out);
  await until("offered", () => phase(w) === "agreed" && w.hub.pairing.has(place(w, "owner")));
  await camera.take(w.hub.pairing.get(place(w, "owner")));
  w.hub.records.push({ owner: w.keys.owner, device: camera.key.id, viewer: w.keys.viewerSPKI, bytes: camera.ownership });
  await until("done", () => phase(w) === "done");
});

test("each failure has its reason, and the camera is told", async (t) => {
  const w = await world(t);
  const text = await begin(w);
  await w.desk.session.cancel();
  assert.equal(phase(w), "failed");
  assert.equal(w.desk.session.memory.reason, "cancelled");
  assert.equal(w.desk.session.memory.text, "");
  await until("the camera is told", () => w.hub.pairing.has(`${w.desk.session.memory.rendezvous}/owner`));
  await w.desk.close();
  assert.equal(w.store.kept, null);

  // The camera gives up.
  const camera = await PairingCamera.before(await begin(w));
  w.hub.pairing.set(place(w, "camera"), camera.out);
  await until("offered", () => phase(w) === "agreed");
  await w.desk.session.cancel();
  assert.equal(phase(w), "agreed", "it cannot be cancelled once something was offered");
  w.hub.pairing.set(place(w, "camera"), await camera.abort("expired"));
  await until("failed", () => phase(w) === "failed");
  assert.deepEqual([w.desk.session.memory.reason, w.desk.session.memory.theirs], ["expired", true]);
  await w.desk.close();

  // A camera that forgot an ownership that this owner has seen.
  const key = await makeKey();
  await begin(w);
  assert.notEqual(w.desk.session.memory.text, text);
  const forgetful = await PairingCamera.before(w.desk.session.memory.text, { key, acquired: 3, known: { epoch: 1, hash: new Uint8Array(32).fill(1) } });
  w.viewer.records.takeAll = async () => [];
  Object.defineProperty(w.viewer.records, "cameras", { get: () => [{ device: key.id, epoch: 2, revision: 1, hash: "11".repeat(32), ownership: null }] });
  w.hub.pairing.set(place(w, "camera"), forgetful.out);
  await until("failed", () => phase(w) === "failed");
  assert.equal(w.desk.session.memory.reason, "rolled-back");
});

test("a code expires by itself", async (t) => {
  const w = await world(t);
  await begin(w);
  const kept = structuredClone(w.store.kept);
  kept.memory.expires = Math.floor(Date.now() / 1000) - 1;
  w.store.kept = kept;
  await w.open();
  await until("expired", () => phase(w) === "failed");
  assert.equal(w.desk.session.memory.reason, "expired");
});

test("a second camera, and one that begins again, are told of", async (t) => {
  const w = await world(t);
  const text = await begin(w);
  const [camera, rival] = [await PairingCamera.before(text), await PairingCamera.before(text)];
  w.hub.pairing.set(place(w, "camera"), camera.out);
  await until("offered", () => phase(w) === "agreed" && w.hub.pairing.has(place(w, "owner")));
  const offer = w.hub.pairing.get(place(w, "owner"));
  w.hub.pairing.set(place(w, "camera"), rival.out);
  await until("the rival", () => w.desk.session.memory.rival === rival.key.id);
  w.hub.pairing.set(place(w, "camera"), (await PairingCamera.before(text, { key: camera.key })).out);
  await until("again", () => w.desk.session.memory.again);
  w.hub.pairing.set(place(w, "camera"), await camera.take(offer));
  await until("done", () => phase(w) === "done");
  assert.equal(w.desk.session.memory.device, camera.key.id);
  assert.equal(w.desk.session.refused.count, 0);
});

test("what a lying hub makes of the messages is ignored, and said", async (t) => {
  const w = await world(t);
  const camera = await PairingCamera.before(await begin(w));
  const stranger = await PairingCamera.before(await begin(await world(t)));
  const wrong = [new Uint8Array(1), flipped(camera.out, 40), flipped(camera.out, -1), stranger.out];
  for (const [i, message] of wrong.entries()) {
    w.hub.pairing.set(place(w, "camera"), message);
    await until("refused", () => w.desk.session.refused.count === i + 1);
    assert.equal(phase(w), "begun");
  }
  assert.equal(w.desk.session.refused.reason, "bad-mac");
  w.hub.pairing.set(place(w, "camera"), camera.out);
  await until("offered", () => phase(w) === "agreed" && w.hub.pairing.has(place(w, "owner")));
  const offer = w.hub.pairing.get(place(w, "owner"));
  for (const message of [offer, flipped(await camera.take(offer), 60)]) {
    const before = w.desk.session.refused.count;
    w.hub.pairing.set(place(w, "camera"), message);
    await until("refused", () => w.desk.session.refused.count > before);
    assert.equal(phase(w), "agreed");
  }
  w.hub.pairing.set(place(w, "camera"), new Uint8Array(MAX_MESSAGE + 1));
  await until("a message that is too large is trouble with the hub", () => w.desk.session.trouble !== "");
  w.hub.pairing.set(place(w, "camera"), camera.out);
  await until("done", () => phase(w) === "done");
});

test("a hundred wrong messages end it", async (t) => {
  const w = await world(t);
  await begin(w);
  for (let i = 0; phase(w) !== "failed"; i++) {
    assert.ok(i < 100);
    w.hub.pairing.set(place(w, "camera"), crypto.getRandomValues(new Uint8Array(100)));
    await until("refused", () => w.desk.session.refused.count === i + 1 || phase(w) === "failed");
  }
  assert.equal(w.desk.session.memory.reason, "too-many");
});

test("nothing is offered that was not kept before", async (t) => {
  const w = await world(t);
  const camera = await PairingCamera.before(await begin(w));
  w.store.full = true;
  w.hub.pairing.set(place(w, "camera"), camera.out);
  await until("the trouble is said", () => /could not keep/.test(w.desk.session.trouble));
  assert.equal(phase(w), "begun");
  assert.ok(!w.hub.pairing.has(place(w, "owner")));
  w.store.full = false;
  await until("offered", () => phase(w) === "agreed" && w.hub.pairing.has(place(w, "owner")));
  assert.equal(w.store.kept.memory.phase, "agreed");
});

test("a hub that is away is waited for", async (t) => {
  const w = await world(t);
  const camera = await PairingCamera.before(await begin(w));
  w.hub.pairing.set(place(w, "camera"), camera.out);
  w.hub.offline = true;
  await until("the trouble is said", () => /cannot be reached/.test(w.desk.session.trouble));
  w.hub.offline = false;
  await until("offered", () => phase(w) === "agreed" && w.hub.pairing.has(place(w, "owner")));
  await until("the trouble is over", () => w.desk.session.trouble === "");
});

test("a camera that is not theirs is thrown away by a release", async (t) => {
  const w = await world(t);
  const camera = await PairingCamera.before(await begin(w));
  w.hub.pairing.set(place(w, "camera"), camera.out);
  await until("offered", () => phase(w) === "agreed" && w.hub.pairing.has(place(w, "owner")));
  w.hub.pairing.set(place(w, "camera"), await camera.take(w.hub.pairing.get(place(w, "owner"))));
  await until("done", () => phase(w) === "done");
  await w.desk.say("other");
  w.hub.offline = true;
  await w.desk.throwAway();
  assert.match(w.desk.thrown, /does not answer/);
  assert.ok(w.desk.given.has(camera.key.id, 1));
  w.hub.offline = false;
  w.hub.records.push({ owner: w.keys.owner, device: camera.key.id, viewer: w.keys.viewerSPKI, bytes: camera.ownership });
  await w.desk.throwAway();
  assert.equal(w.desk.thrown, "sent");
  const [{ device, bytes }] = w.hub.letters;
  assert.equal(device, camera.key.id);
  const says = decode(parseEnvelope(bytes, 1024).payload);
  assert.equal(says.get(0), "lensward/release/1");
  assert.deepEqual(says.get(1), camera.key.hash);
  assert.equal(says.get(4), 1);
});

test("keys without the root key add no camera", async () => {
  const { text } = await makeKeys();
  const file = JSON.parse(text);
  const other = JSON.parse((await makeKeys()).text);
  assert.equal((await parseKeys(text)).rootKey.extractable, false);
  await assert.rejects(parseKeys(JSON.stringify({ ...file, owner_private_key: other.owner_private_key })), /root key/);
  delete file.owner_private_key;
  const keys = await parseKeys(JSON.stringify(file));
  assert.equal(keys.rootKey, null);
  const viewer = new Viewer({ keys, api: null, storage: null });
  assert.equal(new PairingDesk({ keys, api: null, viewer, store: new Store() }).canPair, false);
});
