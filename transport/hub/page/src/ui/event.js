// One event, opened: its clip as far as it has come, and what is known of it.

import { Demuxer, MP4Error } from "../mp4.js";
import { sleep } from "../jobs.js";
import { facts, h, save, setText } from "./dom.js";
import { engineFor } from "./player.js";
import { fullText, lengthText } from "./time.js";
import { cameraName, CAUSE_TEXTS, CLOCKS, PROTECTIONS } from "./words.js";

const URGENT = 4e15;
const PATIENCE_MS = 5_000; // how long a part is waited for that later parts have overtaken

export class EventView {
  #viewer;
  #event;
  #pictures;
  #shown;
  #closed;
  #stop = new AbortController();
  #engine = null;
  #lost = [];
  #opened = 0;
  #isDone = false;
  #poster = h("img.poster", { alt: "" });
  #stage = h("div.stage", {}, this.#poster);
  #status = h("p.status", { role: "status" });
  #trouble = h("p.warning", { hidden: true });
  #details = h("div.details");
  #save = h("button", { type: "button", disabled: true, onclick: () => this.#saveClip() }, "Save clip");

  /**
   * @param {import("../viewer.js").Viewer} viewer
   * @param {import("../timeline.js").CameraEvent} event
   * @param {import("./pictures.js").Pictures} pictures
   * @param {(header: object) => void} shown told of each item that is put on the page
   * @param {() => void} closed
   */
  constructor(viewer, event, { pictures, shown, closed }) {
    Object.assign(this, { key: event.key });
    this.#viewer = viewer;
    this.#event = event;
    this.#pictures = pictures;
    this.#shown = shown;
    this.#closed = closed;
    const title = h("h2", { id: "event-title" }, `${cameraName(event.device)}, ${fullText(event.start)}`);
    const close = h("button.close", { type: "button", aria: { label: "Close" }, onclick: () => this.element.close() }, "Close");
    this.element = h("dialog.event", { aria: { labelledby: "event-title" }, onclose: () => this.close(), onclick: (e) => this.#clickOutside(e) },
      h("div.event-body", {}, h("header", {}, title, close), this.#stage, this.#trouble, this.#status, this.#details, h("p.actions", {}, this.#save)));
  }

  open() {
    // What a clip of pictures needs below them has its place from the start.
    if (this.#event.parts.get(0)?.header.mediaType.includes("mp4v")) {
      this.#stage.dataset.codec = "mjpeg";
      this.#stage.replaceChildren(h("div.canvas-player", {}, this.#poster, h("div.transport")));
    }
    document.body.append(this.element);
    this.element.showModal();
    this.render();
    this.#play().catch((err) => {
      if (!this.#stop.signal.aborted) this.#say(`The clip cannot be played: ${err.message}`);
    });
  }

  close() {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#engine?.close();
    this.element.remove();
    this.#closed();
  }

  #clickOutside(e) {
    if (e.target === this.element) this.element.close();
  }

  #say(text) {
    this.#trouble.hidden = text === "";
    setText(this.#trouble, text);
  }

  render() {
    this.#viewer.describe(this.#event);
    const { url } = this.#pictures.of(this.#event);
    if (url && this.#poster.src !== url) {
      this.#poster.src = url;
      this.#poster.alt = `What ${cameraName(this.#event.device)} saw`;
    }
    setText(this.#status, this.#statusText());
    this.#save.disabled = !this.#isDone || this.#opened === 0;
    this.#details.replaceChildren(this.#facts());
  }

  #statusText() {
    const count = this.#event.partCount;
    if (count === 0) return this.#event.isOver ? "This event has no clip." : "The clip's first part is on its way…";
    const parts = `${this.#opened} of ${count} ${count === 1 ? "part" : "parts"} verified and opened.`;
    if (this.#lost.length > 0) return `${parts} ${this.#lost.length === 1 ? "One part" : `${this.#lost.length} parts`} could not be had.`;
    return this.#isDone ? parts : `${parts} ${this.#event.isOver ? "" : "The event still runs."}`;
  }

  #facts() {
    const event = this.#event;
    const stubs = [event.thumbnail, event.record, ...event.parts.values()].filter(Boolean);
    const { header } = stubs[0];
    const seqs = stubs.map((s) => s.header.seq);
    const [from, to] = [Math.min(...seqs), Math.max(...seqs)];
    const says = event.says;
    return facts([
      ["Sealed by", `${cameraName(header.device)}, whose key signed every item shown here. This browser checked it.`],
      ["Began", fullText(says?.start ?? event.start)],
      says && says.cause !== "paired" && ["Lasted", lengthText((says.end - says.start) / 1000)],
      says && ["What", CAUSE_TEXTS[says.cause]],
      says?.zones.length > 0 && ["Where", says.zones.join(", ")],
      says && says.cause !== "paired" && ["Movement", `up to ${Math.round(says.score * 100)} % of the picture`],
      ["Clock", CLOCKS[event.clock]],
      ["Key", PROTECTIONS[header.protection]],
      ["Firmware", header.firmware],
      ["Place", `items ${from === to ? from : `${from} to ${to}`} of chain ${header.chain}, ownership ${header.epoch}`],
      ["Camera's ID", h("code", {}, header.device)],
      says?.lostParts > 0 && ["Lost", `The camera could not keep ${says.lostParts} of the clip's parts.`],
    ]);
  }

  async #play() {
    const demuxer = new Demuxer();
    const { signal } = this.#stop;
    for (let index = 0; await this.#hasPart(index); index++) {
      const bytes = await this.#openPart(index);
      signal.throwIfAborted();
      if (bytes === null) continue;
      try {
        const samples = demuxer.read(bytes);
        this.#engine ??= this.#startEngine(demuxer.track);
        this.#engine.append(index, bytes, samples);
        this.#opened++;
      } catch (err) {
        if (!(err instanceof MP4Error)) throw err;
        this.#lost.push(index);
        this.#say(demuxer.track === null ? "The clip's first part is missing, and the others cannot be played without it." : `Part ${index + 1} cannot be read: ${err.message}`);
      }
      this.render();
    }
    this.#engine?.end();
    this.#isDone = true;
    this.render();
  }

  /** Waits until the part is known; false when there will be none. */
  async #hasPart(index) {
    const event = this.#event;
    for (let overtaken = 0; !event.parts.has(index); ) {
      if (event.isOver && index >= event.partCount) return false;
      const isOvertaken = event.isOver || index < event.partCount;
      overtaken += isOvertaken ? 250 : 0;
      if (overtaken >= PATIENCE_MS) return index < event.partCount;
      await sleep(250, this.#stop.signal);
    }
    return true;
  }

  async #openPart(index) {
    const stub = this.#event.parts.get(index);
    try {
      if (!stub) throw new Error("it never came");
      const { header, bytes } = await this.#viewer.open(stub, { urgency: URGENT - index });
      this.#stop.signal.throwIfAborted();
      this.#shown(header);
      return bytes;
    } catch (err) {
      this.#stop.signal.throwIfAborted();
      this.#lost.push(index);
      this.#say(`Part ${index + 1} of the clip is not shown: ${err.message}.`);
      return null;
    }
  }

  #startEngine(track) {
    if (track === null) throw new MP4Error("pictures come before what describes them");
    const label = `Clip of ${cameraName(this.#event.device)}, ${fullText(this.#event.start)}`;
    const reload = async (index) => (await this.#viewer.open(this.#event.parts.get(index), { urgency: URGENT })).bytes;
    const engine = engineFor(track, { label, reload, say: (text) => this.#say(text) });
    this.#stage.replaceChildren(engine.element);
    this.#stage.dataset.codec = track.codec;
    return engine;
  }

  async #saveClip() {
    this.#save.disabled = true;
    const parts = [];
    try {
      for (const index of [...this.#event.parts.keys()].sort((a, b) => a - b)) {
        if (!this.#lost.includes(index)) parts.push((await this.#viewer.open(this.#event.parts.get(index), { urgency: URGENT })).bytes);
      }
      save(parts, "video/mp4", `${this.#event.device.slice(0, 8)}-${this.#event.id.slice(0, 8)}.mp4`);
    } catch (err) {
      if (!this.#stop.signal.aborted) this.#say(`The clip could not be saved: ${err.message}`);
    }
    this.#save.disabled = false;
  }
}
