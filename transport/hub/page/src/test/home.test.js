import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { APIError } from "../api.js";
import { unbase64url } from "../bytes.js";
import { Home } from "../home.js";
import { historyOf, verifyStatement } from "../household.js";
import { audienceOf } from "../keys.js";

const folder = new URL("../../../../household/testdata/vectors/", import.meta.url);
const read = (name) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));

function homeOf({ owner, identities = [] }, statements, held = []) {
  const keys = { owner, identities: [...held], memberIdentities: identities.flatMap((text) => text.trim().split("\n")) };
  const api = { household: async (after) => (after < statements.length ? statements.slice(after).map(unbase64url) : []) };
  return { keys, api, home: new Home({ keys, api }) };
}

test("a member's keys open the period's identity, and it is used from then on", async () => {
  const vector = read("keys-good-current.json");
  const { serial } = await verifyStatement(unbase64url(vector.bytes), vector.owner);
  const statements = Array(serial - 1).fill("").concat(vector.bytes);
  const { home, keys, api } = homeOf(vector, statements);
  api.household = async (after) => (after < serial ? [unbase64url(vector.bytes)] : []);
  const heard = await home.refresh(null, undefined);
  assert.equal(heard.newest.serial, serial);
  assert.ok(home.isOpen && home.hasMoved);
  assert.equal(keys.identities.length, 1);
  await home.refresh({ serial, hash: heard.newest.hash }, undefined);
  assert.equal(home.chain.length, 1);
  assert.equal(home.hasMoved, false);
});

test("identities that no period lists are dropped", async () => {
  const vector = read("keys-good-current.json");
  const { serial } = await verifyStatement(unbase64url(vector.bytes), vector.owner);
  const { identities: [stranger] } = read("keys-bad-stranger.json");
  const { home, keys, api } = homeOf(vector, [], [stranger.trim().split("\n")[0]]);
  api.household = async (after) => (after < serial ? [unbase64url(vector.bytes)] : []);
  await home.refresh(null, undefined);
  assert.equal(keys.identities.length, 1);
  assert.notEqual(keys.identities[0], stranger.trim().split("\n")[0]);
});

test("a chain with a statement that does not follow is not taken, and that is said", async () => {
  const vector = read("succession-removed.json");
  const { home, api } = homeOf(vector, []);
  const bad = read("succession-swapped-recipient.json");
  api.household = async (after) => (after === 0 ? [unbase64url(bad.known), unbase64url(bad.bytes)] : []);
  const other = new Home({ keys: { owner: bad.owner, identities: [], memberIdentities: [] }, api });
  await other.refresh(null, undefined);
  assert.equal(other.chain.length, 1);
  assert.equal(other.trouble.reason, "bad-succession");
  assert.equal(home.newest, null);
});

test("two statements of one serial are a fork, also against an earlier visit", async () => {
  const vector = read("succession-twin.json");
  const twin = await verifyStatement(unbase64url(vector.bytes), vector.owner);
  const known = await verifyStatement(unbase64url(vector.known), vector.owner);
  const { home, api } = homeOf(vector, []);
  api.household = async (after) => (after < twin.serial ? [unbase64url(vector.bytes)] : []);
  const heard = await home.refresh({ serial: known.serial, hash: known.hash }, undefined);
  assert.equal(heard.fork.hash, twin.hash);
  assert.equal(home.chain.length, 0);
});

test("a hub without households is no trouble", async () => {
  const { home, api } = homeOf({ owner: "a".repeat(52) }, []);
  api.household = async () => { throw new APIError(404, "not there"); };
  assert.equal(await home.refresh(null, undefined), null);
  assert.equal(home.trouble, null);
});

test("the history says who came and went", async () => {
  for (const [name, key] of [["succession-added", "added"], ["succession-removed", "removed"], ["succession-renewed", "renewed"]]) {
    const vector = read(`${name}.json`);
    const chain = [await verifyStatement(unbase64url(vector.known), vector.owner), await verifyStatement(unbase64url(vector.bytes), vector.owner)];
    const [first, second] = historyOf(chain);
    assert.equal(first.added.length, chain[0].members.length);
    assert.ok(second[key].length > 0, name);
    assert.equal(second.period > 0, name !== "succession-renewed" && chain[0].recipient !== chain[1].recipient);
  }
});

test("a camera is added for the household as it is", async () => {
  const { bytes, owner } = read("statement-good-three.json");
  const statement = await verifyStatement(unbase64url(bytes), owner);
  const { recipients, viewers } = await audienceOf({ identities: [], viewerSPKI: null }, statement);
  assert.deepEqual(recipients, [{ kind: 1, age: statement.recipient }]);
  assert.deepEqual(viewers.map(({ name }) => name), statement.members.map(({ name }) => name));
});
