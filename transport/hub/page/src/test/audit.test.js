import assert from "node:assert/strict";
import test from "node:test";
import { Audit } from "../audit.js";
import { endNotices, missingNotices } from "../missing.js";
import { Timeline } from "../timeline.js";
import { noticeText } from "../ui/words.js";

const place = (seq, prev = `h${seq - 1}`) => ({ device: "d", epoch: 1, chain: 1, seq, prev });
const gap = (from, to, more = {}) => ({ chain: 1, from, to, firstPrev: `h${from - 1}`, lastHash: `h${to}`, kind: 2, reason: "full", ...more });

test("order does not matter; what is out of place is refused and changes nothing", () => {
  const audit = new Audit();
  for (const seq of [5, 1, 2]) audit.add(place(seq), `h${seq}`);
  assert.throws(() => audit.add(place(5), "h5"), { reason: "replayed" });
  assert.throws(() => audit.add(place(5), "x"), { reason: "fork" });
  assert.throws(() => audit.add(place(3, "x"), "h3"), { reason: "broken-chain" });
  assert.throws(() => audit.add(place(4), "x"), { reason: "broken-chain" });
  assert.deepEqual(audit.missing().map(({ from, to, dropped }) => [from, to, dropped]), [[3, 4, null]]);
});

test("what the camera dropped is cut out of what is missing", () => {
  const audit = new Audit();
  audit.add(place(1), "h1");
  audit.add(place(20), "h20");
  audit.explain(place(20), { dropped: [gap(15, 30), gap(3, 4), gap(5, 6), gap(5, 6), gap(9, 9, { reason: "budget" })] });
  audit.add(place(16), "h16"); // an item that is there overrides the gap
  assert.deepEqual(audit.missing().map(({ from, to, dropped }) => [from, to, dropped?.reason ?? ""]), [
    [2, 2, ""], [3, 6, "full"], [7, 8, ""], [9, 9, "budget"], [10, 14, ""], [15, 15, "full"], [17, 19, "full"], [21, 30, "full"],
  ]);
});

test("a gap that contradicts the chain is refused whole", () => {
  const audit = new Audit();
  audit.add(place(1), "h1");
  audit.add(place(9), "h9");
  assert.throws(() => audit.explain(place(9), { dropped: [gap(4, 5), gap(2, 3, { firstPrev: "x" })] }), { reason: "broken-chain" });
  assert.throws(() => audit.explain(place(9), { dropped: [gap(7, 8, { lastHash: "x" })] }), { reason: "broken-chain" });
  assert.deepEqual(audit.missing().map(({ from, to, dropped }) => [from, to, dropped]), [[2, 8, null]]);
});

test("a head far away costs nothing", () => {
  const audit = new Audit();
  audit.add(place(Number.MAX_SAFE_INTEGER), "h");
  audit.explain(place(1), { dropped: [gap(1, Number.MAX_SAFE_INTEGER - 1)] });
  assert.equal(audit.missing().length, 1);
});

test("a hub is only said to hold back what the camera says was delivered", () => {
  const timeline = new Timeline();
  const take = (seq, kind) => timeline.take({ ref: `d/1/1/${seq}`, hash: `h${seq}`, header: { ...place(seq), kind, event: "", captured: seq * 1000 } });
  take(1, 1);
  take(4, 4);
  const runs = [{ device: "d", epoch: 1, chain: 1, from: 2, to: 3, dropped: null }];
  const delivered = (says, tries = 5) => {
    timeline.cameras.get("d").says = says;
    return missingNotices(runs, timeline, () => tries).map((n) => n.delivered);
  };
  assert.deepEqual(delivered(null), [false]);
  assert.deepEqual(delivered({ depth: 0, aside: 0 }), [true]);
  assert.deepEqual(delivered({ depth: 2, aside: 0 }), [false]);
  assert.deepEqual(delivered({ depth: 0, aside: 1 }), [false]);
  assert.deepEqual(delivered({ depth: 0, aside: 0 }, 1), []); // not asked for often enough to say so
});

test("the end of an ownership is said, unless another of mine follows", () => {
  const timeline = new Timeline();
  timeline.takeEnd({ device: "d", epoch: 1, captured: 5 });
  timeline.takeEnd({ device: "d", epoch: 1, captured: 9 }); // a second gap of the same end
  timeline.takeEnd({ device: "d", epoch: 1, captured: 7 });
  const said = (epoch) => endNotices(timeline, new Map([["d", epoch]])).map(({ type, device, time }) => ({ type, device, time }));
  assert.deepEqual(said(1), [{ type: "ended", device: "d", time: 9 }]);
  assert.deepEqual(said(2), []); // it was reset, and paired again
  assert.match(noticeText(endNotices(timeline, new Map())[0]), /your keys open none of it/);
});
