// The time line: events as cards by day, newest first, with what is missing
// said where it belongs.

import { CLOCK_FLOOR, CLOCK_UNSET } from "../item.js";
import { arrange, h, setText } from "./dom.js";
import { dayKey, dayText, lengthText, timeText } from "./time.js";
import { cameraName, CAUSES, noticeText } from "./words.js";

const PAGE = 60;
const RUNNING_MS = 90_000;

export class EventsView {
  #viewer;
  #pictures;
  #cards = new Map();
  #days = new Map();
  #notices = new Map();
  #window = PAGE;
  #list = h("div.days");
  #more = h("button.more", { type: "button", onclick: () => this.#showMore() });
  #emptyText = h("p", { role: "status" });
  #addLink = h("a.button.primary", { href: "#/add" }, "Add a camera");
  #empty = h("div.empty", {}, this.#emptyText, this.#addLink);
  #given;

  /**
   * @param {import("../viewer.js").Viewer} viewer
   * @param {import("./pictures.js").Pictures} pictures
   * @param {import("../pairing/desk.js").GivenAway} given whose events are not shown
   */
  constructor(viewer, pictures, given) {
    this.#viewer = viewer;
    this.#pictures = pictures;
    this.#given = given;
    this.element = h("section.events", { aria: { label: "Events" } }, this.#empty, this.#list, this.#more);
  }

  #showMore() {
    this.#window += PAGE;
    this.render();
  }

  render() {
    const events = this.#viewer.timeline.sorted().filter((event) => !this.#given.has(event.device, epochOf(event)));
    const shown = events.slice(0, this.#window);
    const oldest = shown.length === events.length ? -Infinity : shown.at(-1).start;
    const notices = this.#viewer.notices().filter((n) => n.time >= oldest);
    const entries = [
      ...shown.map((event) => ({ time: event.start, unset: event.clock === CLOCK_UNSET, node: this.#card(event) })),
      ...notices.map((notice) => ({ time: notice.time, unset: false, node: this.#notice(notice) })),
    ].sort((a, b) => Number(b.unset) - Number(a.unset) || b.time - a.time);
    this.#arrangeDays(entries);
    this.#forget(shown, notices);
    this.#more.hidden = shown.length === events.length;
    setText(this.#more, `Show ${Math.min(PAGE, events.length - shown.length)} older of ${events.length - shown.length}`);
    this.#empty.hidden = entries.length > 0;
    setText(this.#emptyText, emptyText(this.#viewer));
    this.#addLink.hidden = this.#viewer.records.cameras.length > 0 || this.#viewer.hub === null;
  }

  #arrangeDays(entries) {
    const days = new Map();
    for (const { time, unset, node } of entries) {
      const key = unset ? "unset" : dayKey(time);
      const day = this.#days.get(key) ?? newDay();
      this.#days.set(key, day);
      if (!days.has(key)) days.set(key, { day, nodes: [] });
      setText(day.heading, unset ? "Time not known: the camera's clock was never set" : dayText(time));
      days.get(key).nodes.push(node);
    }
    for (const { day, nodes } of days.values()) arrange(day.list, nodes);
    arrange(this.#list, [...days.values()].map(({ day }) => day.element));
    for (const key of this.#days.keys()) if (!days.has(key)) this.#days.delete(key);
  }

  #forget(shown, notices) {
    const keys = new Set([...shown, ...notices].map(({ key }) => key));
    for (const map of [this.#cards, this.#notices]) for (const key of map.keys()) if (!keys.has(key)) map.delete(key);
  }

  #card(event) {
    if (!this.#cards.has(event.key)) this.#cards.set(event.key, new Card(event));
    const card = this.#cards.get(event.key);
    if (this.#viewer.state !== "catching-up") this.#viewer.describe(event);
    card.update(this.#pictures.of(event));
    return card.element;
  }

  #notice(notice) {
    if (!this.#notices.has(notice.key)) {
      this.#notices.set(notice.key, h("li.notice", {}, h("span.notice-text"), h("span.notice-camera", {}, cameraName(notice.device))));
    }
    const element = this.#notices.get(notice.key);
    element.dataset.type = notice.delivered ? "withheld" : notice.type;
    setText(element.firstChild, noticeText(notice));
    return element;
  }
}

function newDay() {
  const heading = h("h2");
  const list = h("ol.grid");
  return { heading, list, element: h("section.day", {}, heading, list) };
}

function epochOf({ thumbnail, record }) {
  return (thumbnail ?? record)?.header.epoch;
}

function emptyText({ state, records }) {
  if (state === "live") return "Nothing has moved yet. What your cameras see will appear here by itself.";
  if (state === "no-camera" && records.cameras.length > 0) return "The hub does not let these keys look any more: they may have been taken off the list of viewers, or the camera has another owner now.";
  if (state === "no-camera") return "This hub knows no camera of yours yet.";
  if (state === "offline") return "The hub does not answer. This page keeps trying.";
  return "Looking for events…";
}

/** One event on the time line. */
class Card {
  #event;
  #image = h("img", { alt: "", decoding: "async", hidden: true });
  #placeholder = h("span.placeholder");
  #time = h("time");
  #badges = h("span.badges");
  #camera = h("span.camera");

  constructor(event) {
    this.#event = event;
    this.#image.addEventListener("error", () => {
      this.#image.hidden = true;
      setText(this.#placeholder, "This picture is broken");
    });
    this.#camera.textContent = cameraName(event.device);
    const link = h("a", { href: `#/event/${event.key}` },
      h("span.picture", {}, this.#placeholder, this.#image, this.#badges),
      h("span.caption", {}, this.#time, this.#camera));
    this.element = h("li.card", { data: { event: event.id } }, link);
  }

  update({ url, failure }) {
    const event = this.#event;
    const text = event.clock === CLOCK_UNSET ? "time not known" : timeText(event.start);
    setText(this.#time, text);
    if (Number.isFinite(event.start) && event.start <= 8.64e15) this.#time.dateTime = new Date(event.start).toISOString();
    if (url && this.#image.src !== url) {
      this.#image.src = url;
      this.#image.alt = `What ${cameraName(event.device)} saw at ${text}`;
      this.#image.hidden = false;
    } else if (!url) {
      this.#image.removeAttribute("src");
      this.#image.hidden = true;
    }
    setText(this.#placeholder, url ? "" : placeholderText(event, failure));
    const words = badgeWords(event);
    if (this.#badges.textContent !== words.join("")) arrange(this.#badges, words.map((w) => h("span.badge", { data: { word: w } }, w)));
  }
}

function placeholderText(event, failure) {
  if (failure) return "Not shown: what came instead was withheld or could not be opened";
  return event.thumbnail ? "Opening…" : "No picture";
}

function badgeWords(event) {
  const words = [];
  if (event.clock === CLOCK_FLOOR) words.push("clock uncertain");
  if (event.says && CAUSES[event.says.cause]) words.push(CAUSES[event.says.cause]);
  if (event.says && event.says.cause !== "paired") words.push(lengthText((event.says.end - event.says.start) / 1000));
  if (!event.isOver && Date.now() - event.end < RUNNING_MS) words.push("now");
  return words;
}
