import assert from "node:assert/strict";
import test from "node:test";
import { unhex } from "../bytes.js";
import { CBORError, decode, decodeFirst, encode, Other, Tagged } from "../cbor.js";
import { mutations } from "./random.js";

// RFC 8949, appendix A, as far as the formats have it.
const GOOD = [
  ["00", 0], ["17", 23], ["1818", 24], ["190100", 256], ["1a000f4240", 1000000], ["1b001fffffffffffff", Number.MAX_SAFE_INTEGER],
  ["1bffffffffffffffff", 18446744073709551615n], ["20", -1], ["3863", -100], ["3bffffffffffffffff", -18446744073709551616n],
  ["f4", false], ["f5", true], ["f6", null], ["40", new Uint8Array()], ["4401020304", Uint8Array.of(1, 2, 3, 4)],
  ["60", ""], ["62c3bc", "ü"], ["64f0908591", "𐅑"], ["83010203", [1, 2, 3]], ["a201020304", new Map([[1, 2], [3, 4]])],
  ["a26161016162820203", new Map([["a", 1], ["b", [2, 3]]])], ["d201", new Tagged(18, 1)],
];

for (const [hex, value] of GOOD) {
  test(`${hex} is read and written`, () => {
    assert.deepEqual(decode(unhex(hex)), value);
    assert.deepEqual(encode(value), unhex(hex));
  });
}

const BAD = [
  ["", "truncated"], ["18", "truncated"], ["41", "truncated"], ["5bffffffffffffffff", "truncated"], ["8201", "truncated"], ["a101", "truncated"],
  ["1817", "not-canonical"], ["1900ff", "not-canonical"], ["1a0000ffff", "not-canonical"], ["1b00000000ffffffff", "not-canonical"], ["580101", "not-canonical"],
  ["9f01ff", "not-canonical"], ["bf0102ff", "not-canonical"], ["5f4101ff", "not-canonical"], ["7f6161ff", "not-canonical"],
  ["a203040102", "not-canonical"], ["a201020103", "not-canonical"], ["a2616201616102", "not-canonical"],
  ["61ff", "malformed"], ["ff", "malformed"], ["1c", "malformed"], ["df", "malformed"], ["f800", "malformed"], ["5f6161ff", "malformed"],
  ["a14001", "malformed"], ["8181818181", "malformed"], ["990101", "malformed"], ["b841", "malformed"], ["0000", "malformed"],
];

for (const [hex, kind] of BAD) {
  test(`${hex || "nothing"} is ${kind}`, () => {
    assert.throws(() => decode(unhex(hex)), { name: "CBORError", kind });
  });
}

test("a float is a value that no format has", () => {
  assert.ok(decodeFirst(unhex("fb3ff199999999999a")).value instanceof Other);
});

test("a value may be followed by others", () => {
  assert.deepEqual(decodeFirst(unhex("010203")), { value: 1, end: 1, flaw: null });
});

test("whatever is read, only a CBORError is thrown, and what is canonical is written back", () => {
  let canonical = 0;
  for (const bytes of mutations(unhex("d28443a10126a0581ea401616102420102038301f56161041b001fffffffffffff3863f66440404040"), 20_000)) {
    try {
      const { value, end, flaw } = decodeFirst(bytes);
      if (flaw || hasOther(value)) continue;
      assert.deepEqual(encode(value), bytes.subarray(0, end));
      canonical++;
    } catch (err) {
      if (!(err instanceof CBORError)) throw err;
    }
  }
  assert.ok(canonical > 1000);
});

function hasOther(v) {
  if (v instanceof Other) return true;
  if (v instanceof Tagged) return hasOther(v.value);
  if (v instanceof Map) return [...v.entries()].flat().some(hasOther);
  return Array.isArray(v) && v.some(hasOther);
}
