// What things are called, for people.

import { CLIP, CHECKPOINT, EVENT, GAP, THUMBNAIL } from "../item.js";

const KINDS = {
  [THUMBNAIL]: ["picture", "pictures"], [CLIP]: ["part of a clip", "parts of clips"], [EVENT]: ["event's description", "events' descriptions"],
  [CHECKPOINT]: ["camera's checkpoint", "cameras' checkpoints"], [GAP]: ["camera's note on what it dropped", "cameras' notes on what they dropped"],
};

export function kindName(kind, count = 1) {
  return (KINDS[kind] ?? ["item", "items"])[count === 1 ? 0 : 1];
}

export const CLOCKS = {
  1: "never set: only the order of things means something",
  2: "not before the time shown: the camera had no clock to ask",
  3: "kept by a battery in the camera",
  4: "set from the network",
};

export const CLOCKS_SHORT = { 1: "not set", 2: "uncertain", 3: "battery", 4: "network" };

export const PROTECTIONS = {
  1: "a file in the camera: who opens the camera can copy it",
  2: "a security chip in the camera: it cannot be copied",
};

export const PROTECTIONS_SHORT = { 1: "file", 2: "security chip" };

/** What an event was, where it was not just motion. */
export const CAUSES = { covered: "view blocked", moved: "camera moved", paired: "first picture" };

export const CAUSE_TEXTS = {
  motion: "something moved",
  covered: "something blocked the camera's view",
  moved: "the camera itself was turned or knocked",
  paired: "nothing moved: the camera became yours, and showed what it sees",
};

const DROPPED = {
  budget: "its storage for what was not delivered yet was used up",
  full: "its storage was full",
  corrupt: "its storage was damaged",
  superseded: "better ones took their place",
  ownership: "the camera changed its owner",
};

/** A notice on the time line, as a sentence. */
export function noticeText({ type, count, kind, reason, delivered }) {
  if (type === "ended") return "Here your time with this camera ends, by its own word: it was released to another owner, or its button was held. What it records since is not yours, and your keys open none of it.";
  const were = count === 1 ? "was" : "were";
  if (type === "dropped") {
    return `${count} ${kindName(kind, count)} ${were} dropped by the camera: ${DROPPED[reason] ?? `it gives “${reason}” as the reason`}.`;
  }
  const are = `${count} ${count === 1 ? "item is" : "items are"} missing: `;
  if (delivered) return `${are}the camera delivered ${count === 1 ? "it" : "them"}, and the hub did not hand ${count === 1 ? "it" : "them"} out.`;
  return `${are}the hub did not hand ${count === 1 ? "it" : "them"} out. The camera may not have delivered ${count === 1 ? "it" : "them"} yet.`;
}

const MISROUTED = {
  "wrong-owner": "belongs to another owner",
  "unknown-device": "comes from a camera that is not yours",
  "wrong-epoch": "is from a time when this camera was not yours",
  "unknown-record": "names an ownership of this camera that nobody has shown to this browser",
};

const BROKEN = {
  "too-large": "larger than anything that a camera sends",
  truncated: "cut off before its end",
  malformed: "not in the form that cameras use",
  "unknown-algorithm": "signed in a way that is not known here",
  unsigned: "without its signature",
  "not-canonical": "written in a form that no camera uses",
  "unknown-version": "of a version that this page does not know",
  "bad-field": "in contradiction to the format's rules",
  "device-mismatch": "under the name of a camera whose key it does not have",
  "bad-signature": "not signed by the camera that it names, or changed since",
  "body-size": "longer than what the camera signed",
  "body-hash": "not what the camera signed: its contents were changed or exchanged",
};

const CHAIN = {
  replayed: "You have it already; the hub answered with it again.",
  fork: "Another one was already taken from its place: the camera or its key was copied, or its storage was put back to an older state.",
  "broken-chain": "It does not follow what came before it.",
  "cannot-decrypt": "It is yours, but none of your keys opens it.",
};

/** Why an entry of the withheld list was not shown, as sentences. */
export function withheldText({ from, reason, misrouted, header }) {
  const thing = header ? `This ${kindName(header.kind)}` : "This";
  const instead = from === "timeline" ? "The hub put it in your time line." : "The hub answered with it instead of yours.";
  if (misrouted) return `${thing} ${MISROUTED[misrouted]}. It was not shown. ${instead}`;
  if (reason === "not-asked-for") return `${thing} is yours, but it is not the one that was asked for. It was not shown in its place.`;
  if (CHAIN[reason]) return `${thing} was not shown. ${CHAIN[reason]}`;
  return `Something was not shown: it is ${BROKEN[reason] ?? reason}. ${from === "timeline" ? "It came as a row of your time line." : "The hub answered with it."}`;
}

const REPORTED = {
  no: "Not reported.",
  pending: "Being reported to the hub's operator…",
  yes: "Reported to the hub's operator.",
  failed: "Not reported: the hub did not take the report.",
};

export function reportedText({ reported, first }) {
  return REPORTED[first?.reported ?? reported];
}

/** How a camera is called. */
export function cameraName(device) {
  return `Camera ${device.slice(0, 8)}`;
}

export const STATES = {
  starting: "Connecting…",
  "no-camera": "No camera yet",
  "catching-up": "Catching up…",
  live: "Live",
  offline: "Hub not reached",
};

const FINDINGS = {
  replayed: "The hub showed an old recording again as if it were a new one.",
  "dropped-middle": "The hub does not give recordings that your camera delivered.",
  "withheld-tail": "The hub does not give the newest recordings, which are known to exist.",
  "swapped-events": "The hub gave a recording of another event than the one asked for.",
  "swapped-thumbnail": "The hub gave a picture and a recording that do not belong together.",
  fork: "There are two histories of your camera that contradict one another: its memory was copied, or somebody else has its key.",
  "rolled-back": "The hub goes back to an older list of who may see your cameras than the one that it gave before.",
  silent: "The hub says that your camera is connected, but nothing has come from it for more than a quarter of an hour.",
  misrouted: "The hub gave you a recording that is not yours.",
};

/** A finding's name, as a sentence for a person. */
export function findingText(name) {
  return FINDINGS[name] ?? name;
}

export const ROLES = { 1: "owner", 2: "viewer", 3: "guest" };

/** What a statement of the household changed, as sentences. */
export function changeText({ period, dropped, added, removed, altered, renewed, settings }) {
  const names = (members) => members.map(({ name }) => name).join(", ");
  return [
    added.length > 0 && `added ${names(added)}`, removed.length > 0 && `removed ${names(removed)}`,
    altered.length > 0 && `changed ${names(altered)}`, renewed.length > 0 && `took new keys of ${names(renewed)}`,
    period > 0 && `began period ${period}`, dropped.length > 0 && `dropped the keys of period ${dropped.join(", ")}`,
    settings && "set how long periods last and are kept",
  ].filter(Boolean).join("; ") || "changed nothing";
}
