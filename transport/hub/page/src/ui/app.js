// The page: which screen is shown, and the numbers that tests read from it.

import { Client } from "../api.js";
import { forgetKeys, keepFinding, keepInBrowser, loadFindings } from "../keystore.js";
import { PairingDesk } from "../pairing/desk.js";
import { Viewer } from "../viewer.js";
import { AddView } from "./add.js";
import { CamerasView } from "./cameras.js";
import { arrange, h, oncePerFrame, setText } from "./dom.js";
import { EventView } from "./event.js";
import { EventsView } from "./events.js";
import { FindingsView } from "./findings.js";
import { HouseholdView } from "./household.js";
import { Pictures } from "./pictures.js";
import { WelcomeView } from "./welcome.js";
import { WithheldView } from "./withheld.js";
import { STATES } from "./words.js";

const REFRESH_MS = 10_000;
const KEPT = {
  browser: "Your keys are kept in this browser.",
  tab: "These keys came with the link. They are kept in this tab alone, and go when it is closed.",
  memory: "This browser keeps nothing: your keys go when the page is closed.",
};

/** Shows the first screen, and then the viewer. */
export function startApp(root, { keys, kept, trouble }) {
  const data = document.documentElement.dataset;
  Object.assign(data, { verified: 0, opened: 0, withheld: 0, wronglyShown: 0, events: 0, state: "keys", pairing: "none", refused: 0 });
  if (keys) return showViewer(root, keys, kept);
  const welcome = new WelcomeView((made, where) => showViewer(root, made, where));
  if (trouble) welcome.say(trouble);
  root.replaceChildren(h("header.bar", {}, brand()), h("main", {}, welcome.element));
}

function showViewer(root, keys, kept) {
  const page = new ViewerPage(keys, kept);
  root.replaceChildren(...page.elements);
  page.start();
}

function brand() {
  return h("a.brand", { href: "#/events" }, h("img", { src: "icon.svg", alt: "", width: 28, height: 28 }), "Lensward");
}

class ViewerPage {
  #keys;
  #kept;
  #viewer;
  #desk;
  #pictures;
  #views;
  #event = null;
  #stop = new AbortController();
  #wronglyShown = 0;
  #state = h("span.state", { role: "status" });
  #banners = h("div.banners");
  #footer = h("footer");
  #main = h("main");
  #links;
  #count = h("span.count", { hidden: true });
  #found = h("span.count", { hidden: true });
  #render = oncePerFrame(() => this.#renderNow());

  constructor(keys, kept) {
    this.#keys = keys;
    this.#kept = kept;
    const api = new Client(keys);
    this.#viewer = new Viewer({ keys, api, storage: localStorageOrNull() });
    this.#desk = new PairingDesk({ keys, api, viewer: this.#viewer });
    this.#pictures = new Pictures(this.#viewer, (header) => this.#shown(header), this.#render);
    this.#views = {
      events: new EventsView(this.#viewer, this.#pictures, this.#desk.given),
      cameras: new CamerasView(this.#viewer, this.#desk.given),
      withheld: new WithheldView(this.#viewer),
      findings: new FindingsView(this.#viewer),
      household: new HouseholdView(this.#viewer),
      add: new AddView({ desk: this.#desk, viewer: this.#viewer, pictures: this.#pictures, keys, gotRoot: (all) => this.#restart(all) }),
    };
    this.#links = {
      events: h("a", { href: "#/events" }, "Events"),
      cameras: h("a.narrow-only", { href: "#/cameras" }, "Cameras"),
      withheld: h("a", { href: "#/withheld" }, "Withheld", this.#count),
      findings: h("a", { href: "#/findings" }, "Findings", this.#found),
      household: h("a", { href: "#/household" }, "Household"),
    };
    this.elements = [
      h("header.bar", {}, h("h1", {}, brand()), h("nav", { aria: { label: "Views" } }, Object.values(this.#links)), this.#state),
      this.#banners,
      h("div.columns", {}, h("aside", {}), this.#main),
      this.#footer,
    ];
  }

  start() {
    for (const type of ["state", "hub", "cameras", "item", "withheld", "missing", "finding"]) {
      this.#viewer.addEventListener(type, () => {
        this.#tally();
        this.#render();
      });
    }
    this.#desk.addEventListener("change", () => {
      this.#tally();
      this.#render();
    });
    this.#viewer.addEventListener("finding", ({ detail }) => keepFinding(this.#keys.owner, detail).catch(() => undefined)); // else it is told again
    this.#viewer.addEventListener("keys", () => this.#kept === "browser" && this.#keep()); // periods' identities came or went
    addEventListener("hashchange", this.#render, { signal: this.#stop.signal });
    // "5 min ago" and the time that a code has left go on by themselves.
    const timers = [setInterval(this.#render, REFRESH_MS), setInterval(() => this.#desk.session && this.#render(), 1000)];
    this.#stop.signal.addEventListener("abort", () => timers.forEach(clearInterval), { once: true });
    this.#tally();
    this.#render();
    this.#run().catch((err) => this.#sayFault(err));
  }

  async #run() {
    this.#viewer.findings.recall(await loadFindings(this.#keys.owner));
    await Promise.all([this.#viewer, this.#desk].map((part) => part.run(this.#stop.signal)));
  }

  #sayFault(err) {
    console.error(err);
    this.#banners.after(h("p.banner.warning.fault", { role: "alert" }, `The page stopped because of a fault in it: ${err.message}. Load it again.`));
  }

  /** Begins again with keys that hold the root key, too. */
  async #restart(keys) {
    this.#end();
    const kept = await keepInBrowser(keys).then(() => "browser", () => "memory");
    showViewer(document.getElementById("app"), keys, kept);
  }

  #end() {
    this.#stop.abort();
    this.#pictures.close();
  }

  /** Counts what is shown that is not ours: always none, and a test looks. */
  #shown(header) {
    if (header.owner !== this.#keys.owner) this.#wronglyShown++;
    this.#tally();
  }

  #tally() {
    const { counts, withheld, timeline, state } = this.#viewer;
    Object.assign(document.documentElement.dataset, {
      verified: counts.verified, opened: counts.opened, withheld: withheld.total, wronglyShown: this.#wronglyShown, events: timeline.events.size, state,
      findings: this.#viewer.findings.list.length, pairing: this.#desk.session?.memory.phase ?? "none", refused: this.#desk.session?.refused.count ?? 0,
    });
  }

  #renderNow() {
    if (this.#stop.signal.aborted) return;
    const [, view = "events", device, id] = /^#\/(\w+)(?:\/([a-z2-7]{52})\/([0-9a-f]{32}))?$/.exec(location.hash) ?? [];
    this.#showEvent(view === "event" && this.#viewer.timeline.events.get(`${device}/${id}`));
    const name = view === "event" ? "events" : view in this.#views ? view : "events";
    if (!this.#main.contains(this.#views[name].element)) this.#main.replaceChildren(this.#views[name].element);
    for (const [key, link] of Object.entries(this.#links)) {
      if (key === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.#placeCameras(name);
    this.#views[name].render();
    this.#event?.render();
    this.#renderFrame();
  }

  /** Beside the time line where there is room, a view of its own where there is not. */
  #placeCameras(name) {
    const aside = this.elements[2].firstChild;
    if (name === "cameras") return;
    if (!aside.contains(this.#views.cameras.element)) aside.replaceChildren(this.#views.cameras.element);
    this.#views.cameras.render();
  }

  #showEvent(event) {
    if (this.#event && this.#event.key !== event?.key) this.#event.close();
    if (!event || this.#event) return;
    this.#event = new EventView(this.#viewer, event, {
      pictures: this.#pictures,
      shown: (header) => this.#shown(header),
      closed: () => {
        this.#event = null;
        if (location.hash === `#/event/${event.key}`) location.hash = "#/events";
      },
    });
    this.#event.open();
  }

  #renderFrame() {
    const { state, trouble, hub, withheld } = this.#viewer;
    setText(this.#state, STATES[state]);
    this.#state.dataset.state = state;
    this.#state.title = trouble ? `${trouble.message}${trouble.hint ? `. ${trouble.hint}` : ""}` : "";
    this.#count.hidden = withheld.total === 0;
    setText(this.#count, String(withheld.total));
    const found = this.#viewer.findings.list.length;
    this.#found.hidden = found === 0;
    setText(this.#found, String(found));
    arrange(this.#banners, this.#bannerNodes(hub, state, trouble));
    arrange(this.#footer, this.#footerNodes(hub));
  }

  #bannerNodes(hub, state, trouble) {
    return [
      hub?.mixup > 0 && this.#once("liar", String(hub.mixup), () => h("p.banner.liar", { role: "status" },
        h("strong", {}, "This hub lies on purpose. "),
        `It answers ${Math.round(hub.mixup * 100)} % of requests with other people's pictures, to show that none of them can be opened or shown here. What came is under “Withheld”.`)),
      state === "offline" && this.#once("offline", trouble.message, () => h("p.banner", { role: "status" }, `The hub is not reached: ${trouble.message}. Trying again by itself.`)),
      this.#desk.session && this.#desk.answer === "" && !location.hash.startsWith("#/add") && this.#once("pairing", "", () => h("p.banner", { role: "status" }, "A camera is being added. ",
        h("a", { href: "#/add" }, "See how far it has come"))),
      this.#kept === "tab" && this.#once("tab", "", () => h("p.banner", {}, KEPT.tab, " ",
        h("button.small", { type: "button", onclick: () => this.#keep() }, "Keep them in this browser"))),
      !this.#viewer.records.pinned && this.#once("pins", "", () => h("p.banner", {}, "This browser keeps nothing: an older ownership record could be put in a newer one's place after the page is loaded again.")),
    ].filter(Boolean);
  }

  #footerNodes(hub) {
    const own = hub?.servedBy === "view";
    return [
      this.#once("served", String(hub?.servedBy), () => h("p", {}, own
        ? "This page is served from your own machine by lensctl view: the hub cannot change it."
        : "This page is served by the hub. It checks everything, but a hub that serves the page could change the page. “lensctl view” serves the same page from your own machine, where the hub cannot.")),
      this.#once("keys", this.#kept, () => h("p", {}, "You are owner ", h("code", { title: this.#keys.owner }, this.#keys.owner.slice(0, 8)), `. ${KEPT[this.#kept]} `,
        h("button.small", { type: "button", onclick: () => this.#forget() }, "Forget keys"))),
    ];
  }

  #made = new Map();

  /** Makes a node once for each value, so that nothing is read out or loses focus twice. */
  #once(name, value, make) {
    const made = this.#made.get(name);
    if (made?.value === value) return made.node;
    const node = make();
    this.#made.set(name, { value, node });
    return node;
  }

  async #keep() {
    try {
      await keepInBrowser(this.#keys);
      this.#kept = "browser";
    } catch {
      this.#kept = "memory";
    }
    this.#render();
  }

  async #forget() {
    const question = "Forget the keys in this browser? Without a copy of them nothing can be opened any more.";
    if (!confirm(question)) return;
    await forgetKeys();
    this.#end();
    location.hash = "";
    location.reload();
  }
}

function localStorageOrNull() {
  try {
    return localStorage;
  } catch {
    return null;
  }
}
