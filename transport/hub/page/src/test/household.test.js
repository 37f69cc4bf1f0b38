import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import { judgeHousehold } from "../judge.js";

const folder = new URL("../../../../household/testdata/vectors/", import.meta.url);
const names = readdirSync(folder).filter((name) => /^(statement|succession|keys)-.*\.json$/.test(name));

test("there are enough vectors of the household", () => assert.ok(names.length >= 70, `${names.length}`));

for (const name of names) {
  test(name, async () => {
    const vector = JSON.parse(readFileSync(new URL(name, folder), "utf8"));
    const got = await judgeHousehold(vector);
    assert.equal(got.word, vector.expect);
    if (vector.says) assert.deepEqual(got.says, vector.says);
  });
}
