// The page: which screen is shown, and the numbers that tests read from it.

import { Client } from "../api.js";
import { forgetKeys, keepInBrowser } from "../keystore.js";
import { Viewer } from "../viewer.js";
import { CamerasView } from "./cameras.js";
import { arrange, h, oncePerFrame, setText } from "./dom.js";
import { EventView } from "./event.js";
import { EventsView } from "./events.js";
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
  Object.assign(data, { verified: 0, opened: 0, withheld: 0, wronglyShown: 0, events: 0, state: "keys" });
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
  #render = oncePerFrame(() => this.#renderNow());

  constructor(keys, kept) {
    this.#keys = keys;
    this.#kept = kept;
    this.#viewer = new Viewer({ keys, api: new Client(keys), storage: localStorageOrNull() });
    this.#pictures = new Pictures(this.#viewer, (header) => this.#shown(header), this.#render);
    this.#views = {
      events: new EventsView(this.#viewer, this.#pictures),
      cameras: new CamerasView(this.#viewer),
      withheld: new WithheldView(this.#viewer),
    };
    this.#links = {
      events: h("a", { href: "#/events" }, "Events"),
      cameras: h("a.narrow-only", { href: "#/cameras" }, "Cameras"),
      withheld: h("a", { href: "#/withheld" }, "Withheld", this.#count),
    };
    this.elements = [
      h("header.bar", {}, h("h1", {}, brand()), h("nav", { aria: { label: "Views" } }, Object.values(this.#links)), this.#state),
      this.#banners,
      h("div.columns", {}, h("aside", {}), this.#main),
      this.#footer,
    ];
  }

  start() {
    for (const type of ["state", "hub", "cameras", "item", "withheld", "missing"]) {
      this.#viewer.addEventListener(type, () => {
        this.#tally();
        this.#render();
      });
    }
    addEventListener("hashchange", this.#render, { signal: this.#stop.signal });
    const timer = setInterval(this.#render, REFRESH_MS); // "5 min ago" goes on by itself
    this.#stop.signal.addEventListener("abort", () => clearInterval(timer), { once: true });
    this.#tally();
    this.#render();
    this.#viewer.run(this.#stop.signal).catch((err) => {
      console.error(err);
      this.#banners.append(h("p.banner.warning", { role: "alert" }, `The page stopped because of a fault in it: ${err.message}. Load it again.`));
    });
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
    arrange(this.#banners, this.#bannerNodes(hub, state, trouble));
    arrange(this.#footer, this.#footerNodes(hub));
  }

  #bannerNodes(hub, state, trouble) {
    return [
      hub?.mixup > 0 && this.#once("liar", String(hub.mixup), () => h("p.banner.liar", { role: "status" },
        h("strong", {}, "This hub lies on purpose. "),
        `It answers ${Math.round(hub.mixup * 100)} % of requests with other people's pictures, to show that none of them can be opened or shown here. What came is under “Withheld”.`)),
      state === "offline" && this.#once("offline", trouble.message, () => h("p.banner", { role: "status" }, `The hub is not reached: ${trouble.message}. Trying again by itself.`)),
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
    this.#stop.abort();
    this.#pictures.close();
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
