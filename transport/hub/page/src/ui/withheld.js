// What was withheld, and why, in plain words.

import { arrange, h, save, setText } from "./dom.js";
import { timeText } from "./time.js";
import { reportedText, withheldText } from "./words.js";

export class WithheldView {
  #viewer;
  #lead = h("p.lead");
  #list = h("ol.withheld-list");
  #rows = new Map();

  constructor(viewer) {
    this.#viewer = viewer;
    this.element = h("section.withheld", { aria: { label: "Withheld" } }, h("h2", {}, "Withheld"), this.#lead, this.#list);
  }

  render() {
    const { entries, total } = this.#viewer.withheld;
    setText(this.#lead, total === 0
      ? "Nothing was withheld: everything that the hub answered with was yours, whole and what was asked for."
      : `${total} ${total === 1 ? "answer" : "answers"} of the hub ${total === 1 ? "was" : "were"} not shown. What is yours was asked for again.${total > entries.length ? ` The last ${entries.length} are listed.` : ""}`);
    const rows = entries.map((entry) => this.#row(entry));
    arrange(this.#list, rows);
    const ids = new Set(entries.map(({ id }) => id));
    for (const id of this.#rows.keys()) if (!ids.has(id)) this.#rows.delete(id);
  }

  #row(entry) {
    if (!this.#rows.has(entry.id)) {
      const reported = h("span.reported");
      const element = h("li.withheld-row", { data: { reason: entry.misrouted || entry.reason } },
        h("p.why", {}, withheldText(entry)),
        h("p.meta", {}, h("time", { dateTime: new Date(entry.time).toISOString() }, timeText(entry.time)), h("code", {}, codeText(entry)), reported),
        entry.proof && entry.misrouted && h("button.small", { type: "button", onclick: () => saveProof(entry) }, "Save its signed header"));
      this.#rows.set(entry.id, { element, reported });
    }
    const { element, reported } = this.#rows.get(entry.id);
    setText(reported, entry.misrouted ? reportedText(entry) : "");
    return element;
  }
}

function codeText({ reason, misrouted, header }) {
  const words = misrouted && misrouted !== reason ? [reason, misrouted] : [reason];
  if (header) words.push(`owner ${header.owner.slice(0, 8)}`, `camera ${header.device.slice(0, 8)}`);
  return words.join(" · ");
}

function saveProof({ proof, header }) {
  const name = header ? `header-${header.device.slice(0, 8)}-${header.epoch}-${header.chain}-${header.seq}.cose` : "header.cose";
  save([proof], "application/cose", name);
}
