// Every reader of what comes from outside, against broken input: it throws its
// own error and nothing else.

import assert from "node:assert/strict";
import test from "node:test";
import { APIError, Client } from "../api.js";
import { BodyError, parseCheckpoint, parseEvent, parseGap } from "../bodies.js";
import { utf8 } from "../bytes.js";
import { checkPolicy, parseItem, THUMBNAIL, verifyItem } from "../item.js";
import { KeysError, parseKeys } from "../keys.js";
import { parseOwnership, verifyOwnership } from "../ownership.js";
import { Refusal } from "../reasons.js";
import { Camera, eventID, makeOwner } from "./maker.js";
import { mutations, random } from "./random.js";

test("items", async () => {
  const owner = await makeOwner();
  const camera = await Camera.paired(owner);
  const { raw, item } = await camera.seal(THUMBNAIL, utf8("picture"), { event: eventID() });
  const policy = { owner: owner.id, cameras: new Map([[camera.key.id, new Map([[item.header.record, 1]])]]) };
  const reasons = new Set();
  for (const bytes of mutations(raw, 3_000)) {
    try {
      const read = await parseItem(bytes);
      await verifyItem(read);
      checkPolicy(policy, read.header);
      assert.equal(read.hash, item.hash); // nothing but the very header passes
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
      reasons.add(err.reason);
    }
  }
  for (const reason of ["malformed", "not-canonical", "truncated", "bad-signature", "body-hash"]) assert.ok(reasons.has(reason), reason);
});

test("ownership records", async () => {
  const owner = await makeOwner();
  const camera = await Camera.paired(owner);
  for (const bytes of mutations(camera.record.bytes, 3_000)) {
    try {
      const read = await parseOwnership(bytes);
      await verifyOwnership(read);
      assert.equal(read.record.owner, owner.id);
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
    }
  }
});

test("bodies", () => {
  const hash = "0".repeat(64);
  const good = [
    [parseEvent, { start: 1, end: 2, score: 0.5, box: [0, 0, 1, 1], parts: 2, lost_parts: 1, continues: "0".repeat(32) }],
    [parseEvent, { start: 1, end: 2, score: 0.5, box: [0, 0, 1, 1], parts: 2, cause: "covered", zones: ["door", "gate"] }],
    [parseCheckpoint, { cause: "start", depth: 1, bytes: 2, dropped: 3, aside: 4, uptime: 5 }],
    [parseGap, { dropped: [{ chain: 1, from: 1, to: 2, first_prev: hash, last_hash: hash, kind: 2, reason: "full" }] }],
  ];
  for (const [parse, value] of good) {
    const bytes = utf8(JSON.stringify(value));
    parse(bytes);
    for (const broken of mutations(bytes, 3_000)) {
      try {
        parse(broken);
      } catch (err) {
        if (!(err instanceof BodyError)) throw err;
      }
    }
    for (const wrong of ["null", "[]", "1", '{"start":1,"start":2}', "[".repeat(50_000)]) assert.throws(() => parse(utf8(wrong === "[]" ? "[]" : wrong)), BodyError);
  }
});

test("an event's cause and zones", () => {
  const event = (more) => utf8(JSON.stringify({ start: 1, end: 2, score: 0, box: [0, 0, 0, 0], parts: 0, ...more }));
  assert.equal(parseEvent(event({})).cause, "motion");
  for (const cause of ["moved", "paired"]) assert.equal(parseEvent(event({ cause })).cause, cause);
  assert.deepEqual(parseEvent(event({ zones: ["door"] })).zones, ["door"]);
  for (const bad of [{ cause: "bored" }, { cause: 1 }, { zones: "door" }, { zones: [""] }, { zones: [1] }, { zones: ["x".repeat(161)] }, { zones: Array(33).fill("x") }]) {
    assert.throws(() => parseEvent(event(bad)), BodyError, JSON.stringify(bad));
  }
});

test("key files", async () => {
  const { file } = await makeOwner();
  for (const broken of mutations(utf8(file), 300)) {
    try {
      await parseKeys(new TextDecoder().decode(broken));
    } catch (err) {
      if (!(err instanceof KeysError)) throw err;
    }
  }
});

test("a hub's answers", async () => {
  const keys = await parseKeys((await makeOwner()).file);
  const below = random(7);
  const junk = () => [null, 0, -1, 1e300, "", "a", "a".repeat(52), true, [], {}, [null], [{}], [[]], { cursor: 1 }, [{ cursor: "1", envelope: 1 }]][below(15)];
  const names = ["id", "mixup", "nonce", "token", "records", "devices", "items", "next", "error", "hint"];
  const answer = () => {
    if (below(8) === 0) return new Response("not JSON", { status: below(2) ? 200 : 500 });
    if (below(8) === 0) return new Response(JSON.stringify(junk()));
    return new Response(JSON.stringify(Object.fromEntries(names.map((n) => [n, junk()]))), { status: [200, 200, 200, 401, 403, 503][below(6)] });
  };
  const client = new Client(keys, { base: "http://hub", fetch: async () => answer() });
  let refused = 0;
  for (let i = 0; i < 2_000; i++) {
    const call = [() => client.hub(), () => client.records(), () => client.devices(), () => client.timeline(), () => client.signIn()][i % 5];
    try {
      await call();
    } catch (err) {
      if (!(err instanceof APIError)) throw err;
      refused++;
    }
  }
  assert.ok(refused > 500);
});

test("an answer that is too large is not read to its end", async () => {
  const keys = await parseKeys((await makeOwner()).file);
  let sent = 0;
  const endless = () => new Response(new ReadableStream({
    pull(controller) {
      sent += 1 << 16;
      controller.enqueue(new Uint8Array(1 << 16));
    },
  }));
  const client = new Client(keys, { base: "http://hub", fetch: async () => endless() });
  await assert.rejects(client.hub(), /larger than/);
  assert.ok(sent < 10 << 20);
});
