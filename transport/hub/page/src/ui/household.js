// Who may look, for which times the recordings can be opened, and every signed
// change of it.

import { historyOf } from "../household.js";
import { arrange, h, setText } from "./dom.js";
import { fullText } from "./time.js";
import { cameraName, changeText, ROLES } from "./words.js";

const DAY = 24 * 3600_000;

export class HouseholdView {
  #viewer;
  #lead = h("p.lead");
  #trouble = h("p.warning", { role: "alert", hidden: true });
  #members = h("tbody");
  #periods = h("tbody");
  #periodPart = h("div.periods", {},
    h("h3", {}, "Periods"), h("p.quiet", {}, "Each period has a key of its own. When its retention is over the key is destroyed, and nobody opens what was recorded in it any more."),
    table(["Period", "From", "Until", "Its key is destroyed"], this.#periods));
  #changes = h("ol.changes");
  #shown = "";

  /** @param {import("../viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.#viewer = viewer;
    this.element = h("section.household", { aria: { label: "Household" } }, h("h2", {}, "Household"), this.#lead, this.#trouble,
      h("h3", {}, "Who may look"), table(["Name", "Role", "Until", "Key"], this.#members),
      this.#periodPart,
      h("h3", {}, "Signed changes"), this.#changes);
  }

  render() {
    const { home, records } = this.#viewer;
    const shown = JSON.stringify([home.newest?.hash, home.trouble, home.isOpen, records.cameras.map(({ hash, ownership }) => [hash, ownership !== null])]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const { newest } = home;
    this.#periodPart.hidden = newest === null;
    setText(this.#lead, newest === null
      ? "No household was made of these keys yet: who may look is in each camera's ownership record, below. “lensctl owner” adds members."
      : `A new period begins every ${daysText(newest.rotation)}, and each can be opened for ${daysText(newest.retention)} after it has ended.${home.isOpen ? "" : " These keys do not open the current period: export them again, or ask the owner."}`);
    this.#trouble.hidden = home.trouble === null;
    if (home.trouble) setText(this.#trouble, `The hub answered with a statement of the household that was refused: ${home.trouble.detail || home.trouble.reason}.`);
    arrange(this.#members, this.#memberRows(newest));
    arrange(this.#periods, (newest?.periods ?? []).toReversed().map((p) => row([
      String(p.number), fullText(p.from), p.until ? fullText(p.until) : "now", p.until ? fullText(p.until + newest.retention) : "not yet",
    ])));
    arrange(this.#changes, this.#changeRows());
  }

  #memberRows(newest) {
    const viewers = newest?.members ?? newestViewers(this.#viewer.records.cameras);
    return viewers.map((m) => row([m.name, ROLES[m.role], m.until ? `${fullText(m.until)}${m.until < Date.now() ? " (over)" : ""}` : "", h("code", {}, keyText(m.key))]));
  }

  #changeRows() {
    const { home, records } = this.#viewer;
    const changes = [
      ...historyOf(home.chain).map((change) => ({ at: change.at, what: `Statement ${change.serial}`, text: changeText(change) })),
      ...records.cameras.filter(({ ownership }) => ownership).map(({ device, ownership: { record } }) => ({
        at: record.created, what: cameraName(device), text: recordText(record),
      })),
    ].sort((a, b) => b.at - a.at);
    return changes.map(({ at, what, text }) => h("li.change", {}, h("time", { dateTime: new Date(at).toISOString() }, fullText(at)), h("span", {}, h("strong", {}, what), ` ${text}`)));
  }
}

function recordText({ epoch, revision, acquired, viewers }) {
  const how = { 1: "paired", 2: "released by its owner before", 3: "reset by its button" }[acquired];
  const names = viewers.map(({ name }) => name).join(", ");
  return revision === 1 ? `became yours (${how}), ownership ${epoch}. May look: ${names || "the owner"}.` : `ownership ${epoch}, revision ${revision}. May look: ${names || "the owner"}.`;
}

/** The viewers of the camera whose record is the newest. */
function newestViewers(cameras) {
  const known = cameras.filter(({ ownership }) => ownership).sort((a, b) => b.ownership.record.created - a.ownership.record.created);
  return known[0]?.ownership.record.viewers ?? [];
}

function keyText(key) {
  return [...key.slice(-4)].map((b) => b.toString(16).padStart(2, "0")).join("");
}

function daysText(ms) {
  const days = Math.round(ms / DAY);
  return days === 1 ? "day" : `${days} days`;
}

function table(heads, body) {
  return h("div.table", { tabIndex: 0, role: "region", aria: { label: heads[0] } }, h("table", {}, h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))), body));
}

function row(cells) {
  return h("tr", {}, cells.map((cell) => h("td", {}, cell)));
}
