import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import { judgePairing } from "../judge.js";

const folder = new URL("../../../../pairing/testdata/vectors/", import.meta.url);
const names = readdirSync(folder).filter((name) => /^(code|owner)-.*\.json$/.test(name));

test("there are enough vectors of pairing", () => {
  for (const [kind, least] of [["code-good", 4], ["code-bad", 20], ["owner-good", 5], ["owner-bad", 30]]) {
    assert.ok(names.filter((name) => name.startsWith(kind)).length >= least, kind);
  }
});

for (const name of names) {
  test(name, async () => {
    const vector = JSON.parse(readFileSync(new URL(name, folder), "utf8"));
    const got = await judgePairing(vector);
    assert.equal(got.word, vector.expect);
    if (vector.code) assert.deepEqual(got.code, vector.code);
    if (vector.step) assert.equal(got.phase, vector.step.phase);
  });
}
