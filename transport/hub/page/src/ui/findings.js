// What the hub was caught at, in plain words, with the proof to save; and the
// heads that members of a household compare.

import { findingFile } from "../findings.js";
import { headsFile, HeadsError, MAX_HEADS_FILE, parseHeads } from "../heads.js";
import { arrange, h, save, setText } from "./dom.js";
import { fullText } from "./time.js";
import { cameraName, findingText } from "./words.js";

export class FindingsView {
  #viewer;
  #lead = h("p.lead");
  #list = h("ol.withheld-list");
  #rows = new Map();
  #said = h("p.quiet", { role: "status" });

  /** @param {import("../viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.#viewer = viewer;
    const file = h("input", { type: "file", id: "heads-file", accept: ".json,application/json", onchange: () => this.#compare(file) });
    this.element = h("section.withheld", { aria: { label: "Findings" } }, h("h2", {}, "Findings"), this.#lead, this.#list,
      h("h3", {}, "Compare with another member"),
      h("p.quiet", {}, "A hub could show two people two histories. It is found out when they compare: each saves what they have seen, gives the file to the other by any way but the hub, and reads the other's."),
      h("div.actions.file-choice", {},
        h("button", { type: "button", onclick: () => this.#saveHeads() }, "Save what I have seen"),
        h("label.button", { htmlFor: "heads-file" }, "Read another member's file"), file),
      this.#said);
  }

  render() {
    const { list } = this.#viewer.findings;
    setText(this.#lead, list.length === 0
      ? "The hub was caught at nothing: what it gave fits together, and it gave what it has to have."
      : `${list.length === 1 ? "One finding" : `${list.length} findings`}, the newest first. Each has its proof, which you can show to whoever runs the hub.`);
    arrange(this.#list, list.map((finding) => this.#row(finding)));
  }

  #row(finding) {
    if (!this.#rows.has(finding)) {
      this.#rows.set(finding, h("li.withheld-row", { data: { finding: finding.name } },
        h("p.why", {}, findingText(finding.name)),
        h("p.meta", {}, h("time", { dateTime: new Date(finding.at).toISOString() }, fullText(finding.at)), finding.device && cameraName(finding.device), h("code", {}, placeText(finding))),
        h("button.small", { type: "button", onclick: () => saveProof(finding) }, "Save the proof")));
    }
    return this.#rows.get(finding);
  }

  #saveHeads() {
    const { owner, heads } = this.#viewer;
    save([headsFile(owner, heads, Date.now())], "application/json", `lensward-heads-${owner.slice(0, 8)}.json`);
  }

  async #compare(input) {
    const [file] = input.files;
    if (!file) return;
    try {
      if (file.size > MAX_HEADS_FILE) throw new HeadsError("The file is too large to be one of heads.");
      const items = await parseHeads(await file.text(), this.#viewer.owner);
      this.#viewer.hearMember(items);
      setText(this.#said, `${items.length} ${items.length === 1 ? "head is" : "heads are"} compared with what the hub gives here. What contradicts it appears above.`);
    } catch (err) {
      setText(this.#said, err instanceof HeadsError ? err.message : `The file could not be read: ${err.message}`);
    }
    input.value = "";
  }
}

function placeText({ name, epoch, chain, from, to }) {
  const range = from === to ? String(from) : `${from}–${to}`;
  if (chain > 0) return `${name} · epoch ${epoch}, chain ${chain}, ${range}`;
  return epoch > 0 ? `${name} · epoch ${epoch}, revision ${range}` : `${name} · statement ${range}`;
}

async function saveProof(finding) {
  const { name, text } = await findingFile(finding);
  save([text], "application/json", name);
}
