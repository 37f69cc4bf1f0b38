// The JSON bodies of event, checkpoint and gap items. Members that are not
// known are ignored; known ones have to be of their type and range.

import { fromUTF8, utf8 } from "./bytes.js";
import { parseJSON } from "./json.js";

const MAX_BODY = 96 << 10;
const MAX_DROPPED = 256;
const CAUSES = ["motion", "covered", "moved", "paired"];
const MAX_ZONES = 32;
const MAX_ZONE_NAME = 160;

export class BodyError extends Error {
  constructor(message) {
    super(message);
    this.name = "BodyError";
  }
}

function parse(bytes, what) {
  if (bytes.length > MAX_BODY) throw new BodyError(`the ${what} is too large`);
  let value;
  try {
    value = parseJSON(fromUTF8(bytes));
  } catch (err) {
    throw new BodyError(`the ${what} is not JSON: ${err.message}`);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new BodyError(`the ${what} is no object`);
  return value;
}

const isCount = (v) => Number.isSafeInteger(v) && v >= 0;
const isPlace = (v) => isCount(v) && v >= 1;
const isShare = (v) => typeof v === "number" && v >= 0 && v <= 1;
const isZone = (v) => typeof v === "string" && v !== "" && utf8(v).length <= MAX_ZONE_NAME;
const isHash = (v) => typeof v === "string" && /^[0-9a-f]{64}$/.test(v);

function must(holds, message) {
  if (!holds) throw new BodyError(message);
}

/** What an event was: times in milliseconds since 1970, score and box as shares of the picture. */
export function parseEvent(bytes) {
  const { start = 0, end = 0, score = 0, box = [0, 0, 0, 0], parts = 0, lost_parts: lostParts = 0, continues = "", cause = "", zones = [] } = parse(bytes, "event");
  must(isCount(start) && isCount(end) && start <= end, "the event's times are out of range");
  must(isShare(score) && Array.isArray(box) && box.length === 4 && box.every(isShare), "the event's score or box is out of range");
  must(isCount(parts) && isCount(lostParts), "the event's parts are no counts");
  must(continues === "" || /^[0-9a-f]{32}$/.test(continues), "the event continues something that is no event");
  must(cause === "" || CAUSES.includes(cause), "the event's cause is not known");
  must(Array.isArray(zones) && zones.length <= MAX_ZONES && zones.every(isZone), "the event's zones are out of range");
  return { start, end, score, box, parts, lostParts, continues, cause: cause || "motion", zones };
}

/** How the camera stood at a place in its chain. */
export function parseCheckpoint(bytes) {
  const { cause = "", depth = 0, bytes: waiting = 0, dropped = 0, aside = 0, uptime = 0, settled = 0 } = parse(bytes, "checkpoint");
  must(typeof cause === "string", "the checkpoint's cause is no text");
  must([depth, waiting, dropped, aside, uptime, settled].every(isCount), "a count in the checkpoint is out of range");
  return { cause, depth, waiting, dropped, aside, uptime, settled };
}

/** What the camera had to drop. */
export function parseGap(bytes) {
  const { dropped } = parse(bytes, "gap");
  must(Array.isArray(dropped) && dropped.length >= 1 && dropped.length <= MAX_DROPPED, "the gap's ranges are missing or too many");
  return {
    dropped: dropped.map((d) => {
      must(d !== null && typeof d === "object", "a range in the gap is no object");
      must(isPlace(d.chain) && isPlace(d.from) && isPlace(d.to) && d.from <= d.to, "a range in the gap is out of range");
      must(isHash(d.first_prev) && isHash(d.last_hash), "a range in the gap has no hashes");
      must(isCount(d.kind) && typeof d.reason === "string" && d.reason.length <= 64, "a range in the gap says no kind or reason");
      return { chain: d.chain, from: d.from, to: d.to, firstPrev: d.first_prev, lastHash: d.last_hash, kind: d.kind, reason: d.reason };
    }),
  };
}
