// The cameras and how they are: by the hub's word and by their own.

import { arrange, facts, h } from "./dom.js";
import { agoText, fullText } from "./time.js";
import { cameraName, CLOCKS, CLOCKS_SHORT, PROTECTIONS, PROTECTIONS_SHORT } from "./words.js";

export class CamerasView {
  #viewer;
  #given;
  #list = h("ul.cameras");
  #trouble = h("div.record-trouble");

  /** @param {import("../viewer.js").Viewer} viewer @param {import("../pairing/desk.js").GivenAway} given */
  constructor(viewer, given) {
    this.#viewer = viewer;
    this.#given = given;
    this.element = h("section.cameras-view", { aria: { label: "Cameras" } }, h("h2", {}, "Cameras"), this.#list, this.#trouble,
      h("a.button", { href: "#/add" }, "Add a camera"));
  }

  render() {
    const cameras = this.#viewer.records.cameras;
    arrange(this.#list, cameras.length > 0
      ? cameras.map((camera) => this.#camera(camera))
      : [h("li.quiet", {}, "No camera is paired with your keys yet.")]);
    arrange(this.#trouble, this.#viewer.recordTrouble.map(({ reason, detail }) =>
      h("p.warning", { data: { reason } }, `The hub answered with an ownership record that was refused: ${detail || reason}.`)));
  }

  #camera({ device, epoch, ownership }) {
    const presence = this.#viewer.presence.get(device);
    const known = this.#viewer.timeline.cameras.get(device);
    const header = known?.last.header;
    const protection = header?.protection ?? ownership?.acceptance.protection;
    const online = presence ? (presence.online ? "online" : "offline") : "not known";
    return h("li.camera-card", { data: { online, device } },
      h("h3", { title: device }, h("span.dot", { aria: { hidden: "true" } }), cameraName(device)),
      this.#given.has(device, epoch) && h("p.quiet", {}, "You threw this pairing away: it was not your camera. What it sends is hidden."),
      facts([
        ["The hub says", presence?.seen && !presence.online ? `${online}, last seen ${agoText(presence.seen * 1000)}` : online],
        ["It last signed", header ? h("span", { title: fullText(header.captured) }, agoText(header.captured)) : "nothing yet"],
        header && ["Its clock", h("span", { title: CLOCKS[header.clock] }, CLOCKS_SHORT[header.clock])],
        protection && ["Its key", h("span", { title: PROTECTIONS[protection] }, PROTECTIONS_SHORT[protection])],
        header && ["Firmware", header.firmware],
        known?.says && ["Waiting in it", waitingText(known.says)],
      ]));
  }
}

function waitingText({ depth, dropped, aside }) {
  const words = [depth === 0 ? "nothing" : `${depth} ${depth === 1 ? "item" : "items"}`];
  if (dropped > 0) words.push(`${dropped} dropped`);
  if (aside > 0) words.push(`${aside} refused by the hub`);
  return words.join(", ");
}
