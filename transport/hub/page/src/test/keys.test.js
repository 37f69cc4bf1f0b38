import assert from "node:assert/strict";
import test from "node:test";
import { base32, base64url, hex, unbase32, unbase64url, unhex, utf8 } from "../bytes.js";
import { sign1, importPublicKey, parseEnvelope, verifySignature } from "../cose.js";
import { parseJSON } from "../json.js";
import { KeysError, makeKeys, parseKeys, takeKeysByToken, takeKeysFromAddress } from "../keys.js";
import { makeOwner } from "./maker.js";

test("bytes as text, and back in one spelling only", () => {
  for (let n = 0; n < 70; n++) {
    const bytes = crypto.getRandomValues(new Uint8Array(n));
    assert.deepEqual(unbase32(base32(bytes)), bytes);
    assert.deepEqual(unbase64url(base64url(bytes)), bytes);
    assert.deepEqual(unhex(hex(bytes)), bytes);
    assert.equal(base64url(bytes), Buffer.from(bytes).toString("base64url"));
  }
  assert.equal(base32(utf8("foobar")), "mzxw6ytboi"); // RFC 4648, section 10
  for (const wrong of ["AA", "a", "ab", "aa=", "01"]) assert.throws(() => unbase32(wrong), wrong);
  for (const wrong of ["a", "AB", "+/", "AA=="]) assert.throws(() => unbase64url(wrong), wrong);
  for (const wrong of ["0", "AA", "0g"]) assert.throws(() => unhex(wrong), wrong);
});

test("strict JSON", () => {
  assert.deepEqual(parseJSON('{"a":{"a":1},"b":["a:","\\"a\\":",{"a":1},{"a":1}]}'), { a: { a: 1 }, b: ["a:", '"a":', { a: 1 }, { a: 1 }] });
  assert.throws(() => parseJSON('{"a":1,"a":2}'), /twice/);
  assert.throws(() => parseJSON('{"a":1,"\\u0061":2}'), /twice/);
  assert.throws(() => parseJSON('{"a":1}x'));
  assert.throws(() => parseJSON("[".repeat(17) + "]".repeat(17)), /deeply/);
});

test("an exported key file", async () => {
  const owner = await makeOwner();
  const keys = await parseKeys(owner.file);
  assert.equal(keys.owner, owner.id);
  assert.deepEqual(keys.viewerSPKI, owner.viewer.spki);
  assert.equal(keys.viewerKey.extractable, false);
  const envelope = parseEnvelope(await sign1(keys.viewerKey, utf8("said")), 1024);
  assert.ok(await verifySignature(await importPublicKey(keys.viewerSPKI), envelope));
});

test("what is wrong with a key file is said", async () => {
  const file = JSON.parse((await makeOwner()).file);
  const other = await makeOwner();
  const wrong = [
    ["{", /not JSON/], ["null", /format/], [{ format: "x" }, /format/], [{ owner: other.id }, /owner's ID/], [{ owner_key: "!" }, /owner_key/],
    [{ viewer_key: base64url(other.root.spki) }, /viewer key/], [{ household_identities: [] }, /no household/], [{ household_identities: ["age1x"] }, /not an age/],
    [" ".repeat(70_000), /too large/],
  ];
  for (const [change, message] of wrong) {
    const text = typeof change === "string" ? change : JSON.stringify({ ...file, ...change });
    await assert.rejects(parseKeys(text), { name: "KeysError", message });
  }
});

test("keys that are made can be imported again", async () => {
  const { keys, text } = await makeKeys();
  assert.equal((await parseKeys(text)).owner, keys.owner);
  assert.equal(JSON.parse(text).owner_key, base64url(keys.ownerKey));
});

test("keys in the address go out of it at once", () => {
  const visited = [];
  const history = { replaceState: (_state, _title, url) => visited.push(url) };
  const at = (hash) => ({ hash, pathname: "/", search: "" });
  assert.equal(takeKeysFromAddress(at(`#keys=${base64url(utf8('{"ü":1}'))}`), history), '{"ü":1}');
  assert.deepEqual(visited, ["/"]);
  assert.throws(() => takeKeysFromAddress(at("#keys=A"), history), { name: "KeysError" });
  assert.equal(visited.length, 2);
  assert.equal(takeKeysFromAddress(at("#/events"), history), null);
  assert.equal(visited.length, 2);
});

test("keys come once for a token, which leaves the address at once", async () => {
  const asked = [];
  const history = { replaceState: (...args) => asked.push(args[2]) };
  const at = (hash) => ({ hash, pathname: "/", search: "" });
  const answer = (ok) => async (path, init) => {
    asked.push(path, init.method, init.headers.Authorization);
    return { ok, text: async () => "keys" };
  };
  assert.equal(await takeKeysByToken(at("#once=AB12"), history, answer(true)), "keys");
  assert.deepEqual(asked, ["/", "/local/keys", "POST", "Bearer AB12"]);
  await assert.rejects(takeKeysByToken(at("#once=AB12"), history, answer(false)), KeysError);
  assert.equal(await takeKeysByToken(at("#keys=AB"), history, answer(true)), null);
  assert.equal(await takeKeysByToken(at(""), history, answer(true)), null);
});
