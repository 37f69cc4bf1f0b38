import assert from "node:assert/strict";
import test from "node:test";
import { CLIP, EVENT, THUMBNAIL } from "../item.js";
import { CameraEvent } from "../timeline.js";

const stub = (kind, seq, captured) => ({ header: { kind, seq, captured, epoch: 1, chain: 1, clock: 4, part: 0, last: true } });

test("an event begins with its first picture, in whatever order its items come", () => {
  const event = new CameraEvent("camera", "event");
  assert.equal(event.start, Infinity);
  event.take(stub(CLIP, 2, 5_000)); // the pre-roll
  assert.equal(event.start, 5_000);
  event.take(stub(THUMBNAIL, 3, 14_000)); // the better one
  event.take(stub(EVENT, 4, 20_000));
  event.take(stub(THUMBNAIL, 1, 10_000));
  assert.equal(event.start, 10_000);
  assert.equal(event.end, 20_000);
  assert.equal(event.thumbnail.header.seq, 3);
});
