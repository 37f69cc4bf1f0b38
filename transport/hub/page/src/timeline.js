// What was taken, in the shape in which it is looked at: events with their
// pictures and clip parts, and each camera's own last word.

import { CHECKPOINT, CLIP, EVENT, THUMBNAIL } from "./item.js";

/**
 * @typedef {object} Stub an item that was taken: what is kept of it
 * @property {object} header without the device key
 * @property {string} ref
 * @property {string} hash
 * @property {number} row the cursor of the row that it stood in, 0 for none
 */

/** One event of one camera. */
export class CameraEvent {
  /** @type {Map<number, Stub>} the clip's parts by index */
  parts = new Map();
  /** The latest thumbnail: the camera sends a better one at the event's end. @type {Stub|null} */
  thumbnail = null;
  /** @type {Stub|null} the event record, and what it says once opened */
  record = null;
  says = null;
  /** Milliseconds since 1970 by the camera's clock: the last thing captured. */
  end = 0;
  clock = 0;
  /** Whether its record is being read, or was. */
  isDescribed = false;
  #filmed = Infinity;
  #pictured = Infinity;

  constructor(device, id) {
    this.device = device;
    this.id = id;
    this.key = `${device}/${id}`;
  }

  take(stub) {
    const { header } = stub;
    this.#filmed = Math.min(this.#filmed, header.captured);
    if (header.kind === THUMBNAIL) this.#pictured = Math.min(this.#pictured, header.captured);
    this.end = Math.max(this.end, header.captured);
    this.clock = Math.max(this.clock, header.clock);
    if (header.kind === THUMBNAIL && isAfter(header, this.thumbnail?.header)) this.thumbnail = stub;
    if (header.kind === CLIP && !this.parts.has(header.part)) this.parts.set(header.part, stub);
    if (header.kind === EVENT) this.record = stub;
  }

  /** When it began, as end is given: at its first picture, since the clip begins before anything moves. */
  get start() {
    return this.#pictured < Infinity ? this.#pictured : this.#filmed;
  }

  /** Whether the camera said that the clip is whole. */
  get isOver() {
    return this.record !== null || [...this.parts.values()].some((p) => p.header.last);
  }

  /** How many parts the clip has, as far as the camera has said: at least those up to the highest. */
  get partCount() {
    const indices = [...this.parts.keys()];
    return Math.max(indices.length ? Math.max(...indices) + 1 : 0, this.says?.parts ?? 0);
  }
}

function isAfter(a, b) {
  return !b || a.epoch > b.epoch || (a.epoch === b.epoch && (a.chain > b.chain || (a.chain === b.chain && a.seq > b.seq)));
}

export class Timeline {
  /** @type {Map<string, CameraEvent>} */
  events = new Map();
  /** @type {Map<string, {last: Stub, checkpoint: Stub|null, says: object|null}>} by device */
  cameras = new Map();
  /** @type {Map<string, Stub>} by place */
  stubs = new Map();
  /** When an ownership ended, by the camera's own word. @type {Map<string, {device: string, epoch: number, at: number}>} by device and epoch */
  ended = new Map();

  /** Takes a gap item's word that the ownership under which it was sealed has ended. */
  takeEnd({ device, epoch, captured }) {
    const key = `${device}/${epoch}`;
    if (!(captured <= this.ended.get(key)?.at)) this.ended.set(key, { device, epoch, at: captured });
  }

  /** Takes an item that verified, passed the policy and the audit. @returns {CameraEvent|null} the event it is of */
  take(stub) {
    const { header, ref } = stub;
    this.stubs.set(ref, stub);
    this.#takeCamera(stub);
    if (header.event === "") return null;
    const key = `${header.device}/${header.event}`;
    if (!this.events.has(key)) this.events.set(key, new CameraEvent(header.device, header.event));
    const event = this.events.get(key);
    event.take(stub);
    return event;
  }

  #takeCamera(stub) {
    const { header } = stub;
    const camera = this.cameras.get(header.device) ?? { last: stub, checkpoint: null, says: null };
    if (isAfter(header, camera.last.header)) camera.last = stub;
    if (header.kind === CHECKPOINT && isAfter(header, camera.checkpoint?.header)) camera.checkpoint = stub;
    this.cameras.set(header.device, camera);
  }

  /** The events, newest first. */
  sorted() {
    return [...this.events.values()].sort((a, b) => b.start - a.start || (a.key < b.key ? -1 : 1));
  }
}
