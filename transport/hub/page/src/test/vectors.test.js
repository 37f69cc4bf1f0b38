import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import { judgeVector } from "../verify.js";

const folder = new URL("../../../../seal/testdata/vectors/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".json") && name !== "keys.json");
const read = (name) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
const { identities } = read("keys.json");

test("there are enough vectors", () => {
  assert.ok(files.filter((f) => f.startsWith("good-")).length >= 15);
  assert.ok(files.filter((f) => f.startsWith("bad-")).length >= 40);
});

for (const name of files) {
  test(name, async () => {
    const vector = read(name);
    const got = await judgeVector(vector, identities);
    if (vector.flip_each) {
      assert.deepEqual(got.words, vector.flip_each);
      return;
    }
    assert.equal(got.word, vector.expect);
    for (const member of ["header", "plain_sha256", "missing"]) {
      if (vector[member]) assert.deepEqual(got[member], vector[member], member);
    }
  });
}
