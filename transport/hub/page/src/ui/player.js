// Plays a clip whose parts arrive one by one: H.264 through MediaSource into a
// video element, JPEG pictures on a canvas. Both engines have the same four
// methods: append(index, bytes, samples), end(), fail(text), close().

import { h, setText } from "./dom.js";
import { lengthText } from "./time.js";

const MAX_HELD = 96 * 1024 * 1024;
const KEEP_BEHIND = 10; // seconds of played video that stay buffered when room is short
const MAX_BLOB = 256 * 1024 * 1024;

const prefersStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Chooses the engine for a track. @param {import("../mp4.js").Track} track */
export function engineFor(track, options) {
  if (track.codec === "mjpeg") return new CanvasEngine(track, options);
  const Source = globalThis.MediaSource ?? globalThis.ManagedMediaSource;
  return Source?.isTypeSupported(track.mediaType) ? new VideoEngine(track, options, Source) : new WholeVideoEngine(track, options);
}

function newVideo(track, { label, say }) {
  const video = h("video", {
    controls: true, muted: true, playsInline: true, disableRemotePlayback: true, width: track.width, height: track.height, autoplay: !prefersStill(),
    aria: { label },
  });
  video.addEventListener("error", () => say(`This browser cannot play the clip (${video.error?.message || "no decoder for it"}). Save it and play it elsewhere.`));
  return video;
}

class VideoEngine {
  #source;
  #buffer = null;
  #queue = [];
  #isEnded = false;
  #url;

  constructor(track, options, Source) {
    this.element = newVideo(track, options);
    this.#source = new Source();
    this.#url = URL.createObjectURL(this.#source);
    this.element.src = this.#url;
    this.element.addEventListener("waiting", () => this.#jumpGap());
    this.element.addEventListener("timeupdate", () => this.#pump());
    this.#source.addEventListener("sourceopen", () => {
      this.#buffer ??= this.#source.addSourceBuffer(track.mediaType);
      this.#buffer.onupdateend = () => this.#pump();
      this.#pump();
    });
  }

  append(_index, bytes) {
    this.#queue.push(bytes);
    this.#pump();
  }

  end() {
    this.#isEnded = true;
    this.#pump();
  }

  #pump() {
    if (!this.#buffer || this.#buffer.updating || this.#source.readyState === "closed") return;
    if (this.#queue.length === 0) {
      this.#jumpGap();
      if (this.#isEnded && this.#source.readyState === "open") this.#source.endOfStream();
      return;
    }
    try {
      this.#buffer.appendBuffer(this.#queue[0]);
      this.#queue.shift();
    } catch (err) {
      if (err.name !== "QuotaExceededError") throw err;
      const upTo = this.element.currentTime - KEEP_BEHIND;
      if (upTo > 0 && this.#buffer.buffered.length > 0 && this.#buffer.buffered.start(0) < upTo) this.#buffer.remove(0, upTo);
    }
  }

  /** A part that was not handed out leaves a hole: play on behind it. */
  #jumpGap() {
    const { buffered, currentTime } = this.element;
    for (let i = 0; i < buffered.length; i++) {
      if (currentTime >= buffered.start(i) && currentTime < buffered.end(i) - 0.05) return;
      if (buffered.start(i) > currentTime) {
        this.element.currentTime = buffered.start(i);
        return;
      }
    }
  }

  close() {
    this.element.pause();
    this.element.removeAttribute("src");
    this.element.load();
    URL.revokeObjectURL(this.#url);
    this.#queue = [];
  }
}

/** Where there is no MediaSource: the whole clip at once, when all of it is here. */
class WholeVideoEngine {
  #parts = [];
  #size = 0;
  #url = null;
  #say;

  constructor(track, options) {
    this.element = newVideo(track, options);
    this.#say = options.say;
    this.#say("This browser plays the clip once all of it is here.");
  }

  append(_index, bytes) {
    this.#size += bytes.length;
    if (this.#size <= MAX_BLOB) this.#parts.push(bytes);
  }

  end() {
    this.#say(this.#size > MAX_BLOB ? "The clip is too long to be played whole: this is its beginning." : "");
    this.#url = URL.createObjectURL(new Blob(this.#parts, { type: "video/mp4" }));
    this.element.src = this.#url;
    this.#parts = [];
  }

  close() {
    this.element.removeAttribute("src");
    this.element.load();
    if (this.#url) URL.revokeObjectURL(this.#url);
  }
}

class CanvasEngine {
  #frames = [];
  #parts = new Map();
  #held = 0;
  #reload;
  #canvas;
  #context;
  #toggle = h("button.play", { type: "button", onclick: () => this.#playOrPause() });
  #seek = h("input", { type: "range", min: "0", max: "0", step: "0.04", value: "0", aria: { label: "Position in the clip" }, oninput: () => this.#goTo(Number(this.#seek.value)) });
  #clock = h("output.clock");
  #time = 0;
  #from = 0;
  #since = 0;
  #isPlaying = !prefersStill();
  #isEnded = false;
  #isClosed = false;
  #drawn = -1;
  #isDrawing = false;

  /** options.reload(index) gives a part's bytes again. */
  constructor(track, { label, reload }) {
    this.#reload = reload;
    this.#canvas = h("canvas", { width: track.width, height: track.height, role: "img", aria: { label }, onclick: () => this.#playOrPause() });
    this.#context = this.#canvas.getContext("2d");
    this.element = h("div.canvas-player", {}, this.#canvas, h("div.transport", {}, this.#toggle, this.#seek, this.#clock));
    this.#start(0);
    this.#label();
    this.#tick();
  }

  append(index, bytes, samples) {
    this.#hold(index, bytes);
    for (const s of samples) this.#frames.push({ ...s, part: index });
    this.#seek.max = String(this.#duration);
    this.#label();
    this.#draw();
  }

  end() {
    this.#isEnded = true;
  }

  get #duration() {
    const last = this.#frames.at(-1);
    return last ? last.time + last.duration : 0;
  }

  #hold(index, bytes) {
    this.#parts.set(index, bytes);
    this.#held += bytes.length;
    for (const [i, b] of this.#parts) {
      if (this.#held <= MAX_HELD) break;
      if (i === index) continue;
      this.#parts.delete(i);
      this.#held -= b.length;
    }
  }

  #playOrPause() {
    this.#isPlaying = !this.#isPlaying;
    if (this.#isPlaying) this.#start(this.#isEnded && this.#time >= this.#duration - 0.05 ? 0 : this.#time);
    this.#label();
  }

  #goTo(time) {
    this.#start(time);
    this.#label();
    this.#draw();
  }

  #start(time) {
    this.#time = time;
    this.#from = time;
    this.#since = performance.now();
  }

  #tick() {
    if (this.#isClosed) return;
    requestAnimationFrame(() => this.#tick());
    if (!this.#isPlaying || this.#frames.length === 0) return;
    const now = this.#from + (performance.now() - this.#since) / 1000;
    if (now >= this.#duration) {
      this.#start(this.#duration); // wait there for what is still to come
      if (this.#isEnded) this.#isPlaying = false;
    } else {
      this.#time = now;
    }
    this.#label();
    this.#draw();
  }

  #label() {
    setText(this.#toggle, this.#isPlaying ? "Pause" : "Play");
    this.#seek.value = String(this.#time);
    setText(this.#clock, `${lengthText(this.#time)} / ${lengthText(this.#duration)}`);
    this.#seek.setAttribute("aria-valuetext", `${lengthText(this.#time)} of ${lengthText(this.#duration)}`);
  }

  #frameAt(time) {
    let low = 0;
    let high = this.#frames.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#frames[middle].time <= time) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  async #draw() {
    const wanted = this.#frameAt(this.#time);
    if (this.#isDrawing || wanted === this.#drawn || this.#frames.length === 0) return;
    this.#isDrawing = true;
    try {
      const { part, offset, size } = this.#frames[wanted];
      if (!this.#parts.has(part)) this.#hold(part, await this.#reload(part));
      const picture = await createImageBitmap(new Blob([this.#parts.get(part).subarray(offset, offset + size)], { type: "image/jpeg" }));
      if (!this.#isClosed) this.#context.drawImage(picture, 0, 0, this.#canvas.width, this.#canvas.height);
      picture.close();
    } catch {
      // A picture that does not decode leaves the one before it standing.
    } finally {
      this.#drawn = wanted;
      this.#isDrawing = false;
    }
    if (!this.#isClosed && !this.#isPlaying) this.#draw();
  }

  close() {
    this.#isClosed = true;
    this.#parts.clear();
    this.#frames = [];
  }
}
