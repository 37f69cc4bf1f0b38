// What happens while a camera is added, in plain words.

import { PROTECTIONS } from "./words.js";

const FAILURES = {
  expired: ["The code has expired", "No camera came in ten minutes. Was the camera free, awake and near enough to see the whole code? Make a new code and show it again."],
  cancelled: ["You ended it", "No camera was added. A camera that saw the code has been told to forget it."],
  "rolled-back": ["The camera has forgotten that it was yours", "You have seen a later ownership of this camera than it knows of: its memory was put back to an older state. Hold its button to reset it, then make a new code."],
  "too-many": ["Something disturbs the pairing", "Too many messages came that were not from a camera with your code. Something between you and the camera changes what is sent: try another network, then make a new code."],
};

const CAMERA_FAILURES = {
  expired: ["The camera gave up", "It waited for fifteen minutes for an answer that did not reach it. Is its network up? Make a new code and show it again."],
  "wrong-record": ["The camera refused", "What this page offered is not what the camera asked for. Update both, then make a new code."],
  "too-many": ["The camera was disturbed", "Too many messages reached the camera that were not from you. Something between you and the camera changes what is sent: try another network, then make a new code."],
  cancelled: ["It was ended at the camera", "Make a new code to try again."],
  "rolled-back": ["The camera refused", "Hold its button to reset it, then make a new code."],
};

/** Why a pairing failed: a heading and what to do. */
export function failureWords({ reason, theirs }) {
  return (theirs ? CAMERA_FAILURES : FAILURES)[reason] ?? ["It did not work", `The reason given is “${reason}”. Make a new code to try again.`];
}

const STEPS = [
  ["The camera sees the code", "The camera has seen the code"],
  ["You agree with the camera", "You have agreed: the camera is yours"],
  ["Its first picture comes", "Its first picture is here"],
];

/** The steps, in order, and whether each is "done", "now" or "later". */
export function steps(phase, hasPicture) {
  const reached = { begun: 0, agreed: 1, done: hasPicture ? 3 : 2 }[phase] ?? 0;
  return STEPS.map(([pending, done], i) => ({ text: i < reached ? done : pending, state: i < reached ? "done" : i === reached ? "now" : "later" }));
}

/** What is being waited for. */
export function waitingWords(phase) {
  return {
    begun: "Waiting for a camera to see the code…",
    agreed: "A camera has seen the code. Waiting for its word that it is yours…",
    done: "The camera is yours. Waiting for its first picture: move something before it…",
  }[phase] ?? "";
}

/** What a camera said of itself when it saw the code. */
export function helloFacts(device, { firmware, protection, acquired }) {
  return [
    ["Camera", device],
    ["Firmware", firmware],
    ["Its key", PROTECTIONS[protection]],
    ["Before", { 1: "it had no owner that it knows of", 2: "its owner before released it", 3: "it was reset by its button" }[acquired]],
  ];
}

export const RIVAL = "A second camera answered to your code: somebody else saw it, or two of your cameras did. Look carefully whether the picture is what your camera sees.";
export const AGAIN = "The camera began anew with a code that it had used: it lost its memory in between. Make a new code and show it to the camera.";

/** That messages were not taken. */
export function refusedWords({ count, reason }) {
  return `${count} ${count === 1 ? "message" : "messages"} on the way to you ${count === 1 ? "was" : "were"} changed, mixed up or not from your camera, and ignored (${reason}).`;
}
