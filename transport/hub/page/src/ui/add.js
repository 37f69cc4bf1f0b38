// Adding a camera: the code, how far the pairing has come, and whether it was the
// right camera.

import { utf8 } from "../bytes.js";
import { KeysError, MAX_FILE_SIZE, parseKeys } from "../keys.js";
import { isPassphrase } from "../pairing/code.js";
import { Refusal } from "../reasons.js";
import { facts, h, setText } from "./dom.js";
import { AGAIN, failureWords, helloFacts, refusedWords, RIVAL, steps, waitingWords } from "./pairwords.js";
import { qrCode } from "./qr.js";

export class AddView {
  #desk;
  #viewer;
  #pictures;
  #keys;
  #gotRoot;
  #shown = "";
  #live = {};
  #wake = null;

  /**
   * @param {object} options
   * @param {import("../pairing/desk.js").PairingDesk} options.desk
   * @param {import("../viewer.js").Viewer} options.viewer
   * @param {import("./pictures.js").Pictures} options.pictures
   * @param {import("../keys.js").Keys} options.keys
   * @param {(keys: import("../keys.js").Keys) => void} options.gotRoot told when a
   *   file with the root key was chosen
   */
  constructor({ desk, viewer, pictures, keys, gotRoot }) {
    this.#desk = desk;
    this.#viewer = viewer;
    this.#pictures = pictures;
    this.#keys = keys;
    this.#gotRoot = gotRoot;
    this.element = h("section.add", { aria: { label: "Add a camera" } });
  }

  render() {
    const screen = this.#screen();
    if (screen !== this.#shown) {
      this.#shown = screen;
      this.#live = {};
      this.element.dataset.screen = screen;
      this.element.replaceChildren(...this[`${screen}Screen`]());
      if (this.element.isConnected) this.element.querySelector("h2")?.focus();
      this.#keepAwake(screen === "code");
    }
    this.#live.update?.();
  }

  #screen() {
    const { isElsewhere, canPair, session, answer } = this.#desk;
    if (isElsewhere) return "elsewhere";
    if (!canPair) return "rootless";
    if (session === null) return "form";
    if (answer === "mine") return "added";
    if (answer === "other") return "other";
    const { phase } = session.memory;
    if (phase === "failed") return "failed";
    if (phase === "begun") return "code";
    return this.#desk.firstPicture ? "picture" : "progress";
  }

  /** A screen that sleeps shows no code. */
  async #keepAwake(on) {
    this.#wake?.then((lock) => lock?.release()).catch(() => undefined);
    this.#wake = on ? navigator.wakeLock?.request("screen").catch(() => null) ?? null : null;
  }

  elsewhereScreen() {
    return [title("Add a camera"), h("p", {}, "A camera is being added in another tab of this browser. Go on there, or close it.")];
  }

  rootlessScreen() {
    const error = h("p.warning", { role: "alert", hidden: true });
    const file = h("input", { type: "file", id: "root-file", accept: ".json,application/json", onchange: () => this.#takeRoot(file, error) });
    return [
      title("Add a camera"),
      h("p", {}, "The keys in this browser can look, and cannot make a camera yours: the root key is not among them."),
      h("p", {}, "Choose the copy of your keys that was saved when they were made in a browser. Or pair the camera where your root key is, with ", h("code", {}, "lensctl pair"), "."),
      error,
      h("div.file-choice", {}, h("label.button.primary", { htmlFor: "root-file" }, "Choose the copy"), file),
    ];
  }

  async #takeRoot(input, error) {
    const [file] = input.files;
    if (!file) return;
    try {
      if (file.size > MAX_FILE_SIZE) throw new KeysError("The file is too large to be an owner's keys.");
      const keys = await parseKeys(await file.text());
      if (keys.rootKey === null) throw new KeysError("This file has no root key either: it is an export for looking.");
      if (keys.owner !== this.#keys.owner) throw new KeysError("This is another owner's file.");
      this.#gotRoot(keys);
    } catch (err) {
      setText(error, err instanceof KeysError ? err.message : `The file could not be read: ${err.message}`);
      error.hidden = false;
      input.value = "";
    }
  }

  formScreen() {
    const error = h("p.warning", { role: "alert", hidden: true });
    const hub = h("p.quiet");
    const wifi = wifiFields();
    const go = h("button.primary", { type: "submit" }, "Show the code");
    const form = h("form.add-form", {
      onsubmit: (e) => {
        e.preventDefault();
        this.#begin(wifi, error, go);
      },
    }, wifi.element, hub, error, go);
    this.#live.update = () => {
      go.disabled = this.#viewer.hub === null;
      setText(hub, hubText(this.#viewer.hub));
    };
    return [
      title("Add a camera"),
      h("p.lead", {}, "This page shows a code. Hold it before the camera's lens: the camera reads it, and both prove to each other that they have it. Nobody in between can, not even the hub."),
      h("p", {}, "The camera must be free: new, released by its owner, or with its button held."),
      form,
    ];
  }

  async #begin(wifi, error, go) {
    error.hidden = true;
    go.disabled = true;
    try {
      await this.#desk.begin({ wifi: wifi.read() });
    } catch (err) {
      const why = err instanceof FieldError ? err.message
        : err instanceof Refusal ? `No code can be made of this: ${err.detail}.`
          : `This browser could not keep the pairing (${err.message}), and without that none is begun.`;
      setText(error, why);
      error.hidden = false;
      go.disabled = false;
      err.field?.focus();
    }
  }

  codeScreen() {
    const { text } = this.#desk.session.memory;
    const code = qrCode(text, "The pairing code. Hold it before the camera's lens.");
    code.id = "pair-code";
    code.dataset.code = text;
    const left = h("p.countdown", { role: "timer" });
    const figure = h("figure.code", {}, code);
    const status = this.#status();
    this.#live.update = () => {
      status.update();
      setText(left, leftText(this.#desk.session.memory.expires));
    };
    return [
      title("Show this to the camera"),
      h("div.code-columns", {}, figure, h("div.code-side", {},
        h("p", {}, "Hold the screen a hand's breadth or two before the lens, so that the camera sees the whole code. Turn the brightness up, and avoid reflections."),
        left, status.element,
        h("div.actions", {},
          document.fullscreenEnabled && h("button", { type: "button", onclick: () => figure.requestFullscreen() }, "Full screen"),
          h("button", { type: "button", onclick: () => this.#desk.session.cancel() }, "Cancel")),
        h("p.quiet", {}, "Whoever films this code can answer in your camera's place. Show it where nobody else sees it."),
        h("details", {}, h("summary", {}, "The code as text"),
          h("p", {}, "For a camera without a lens free: ", h("code", {}, "lensward pair --code -"), " reads it."),
          h("code.code-text", {}, text)))),
    ];
  }

  progressScreen() {
    const status = this.#status();
    const stop = h("button", { type: "button", onclick: () => this.#desk.close() }, "Stop waiting");
    const anew = h("button.primary", { type: "button", onclick: () => this.#desk.close() }, "Make a new code");
    const { device, hello } = this.#desk.session.memory;
    const heading = title("");
    this.#live.update = () => {
      status.update();
      setText(heading, this.#desk.session.memory.phase === "done" ? "The camera is yours" : "The camera has seen the code");
      const { again, phase } = this.#desk.session.memory;
      anew.hidden = !again || phase !== "agreed";
      stop.hidden = !this.#desk.isStale || !anew.hidden;
    };
    return [heading, status.element, facts(helloFacts(device, hello)), h("div.actions", {}, anew, stop)];
  }

  /** The steps, what is waited for, and what is wrong. */
  #status() {
    const list = h("ol.steps");
    const waiting = h("p.waiting", { role: "status" });
    const warnings = h("div.warnings", { role: "alert" });
    const said = {};
    const update = () => {
      const { session, firstPicture } = this.#desk;
      const { phase, rival, again } = session.memory;
      const all = steps(phase, firstPicture !== null);
      if (said.steps !== phase) {
        said.steps = phase;
        list.replaceChildren(...all.map(({ text, state }) => h("li", { data: { state } }, text,
          h("span.unseen", {}, { done: " (done)", now: " (next)", later: "" }[state]))));
      }
      setText(waiting, waitingWords(phase));
      const lines = [rival && RIVAL, again && phase === "agreed" && AGAIN, session.trouble, session.refused.count > 0 && refusedWords(session.refused)].filter(Boolean);
      if (said.lines !== lines.join()) {
        said.lines = lines.join();
        warnings.replaceChildren(...lines.map((line) => h("p.warning", {}, line)));
      }
    };
    return { element: h("div.pair-status", {}, list, waiting, warnings), update };
  }

  failedScreen() {
    const [heading, advice] = failureWords(this.#desk.session.memory);
    return [
      title(heading),
      h("p.warning", { role: "alert", data: { reason: this.#desk.session.memory.reason } }, advice),
      h("div.actions", {},
        h("button.primary", { type: "button", onclick: () => this.#desk.close() }, "Make a new code"),
        h("a.button", { href: "#/events" }, "Not now")),
    ];
  }

  pictureScreen() {
    const { device, rival } = this.#desk.session.memory;
    const image = h("img", { alt: "The first picture of the camera that was added", hidden: true });
    const placeholder = h("span.placeholder", {}, "Opening…");
    this.#live.update = () => {
      const event = this.#desk.firstPicture;
      if (event === null) return;
      const { url, failure } = this.#pictures.of(event);
      if (url && image.src !== url) image.src = url;
      image.hidden = !url;
      setText(placeholder, failure ? "Not shown: what came instead was withheld or could not be opened" : url ? "" : "Opening…");
    };
    return [
      title("Is this what your camera sees?"),
      rival !== "" && h("p.warning", { role: "alert" }, RIVAL),
      h("figure.picture.first", {}, placeholder, image),
      h("p", {}, "Look for the room where you stand. A camera that somebody else put in the place of yours would show another."),
      h("div.actions", {},
        h("button.primary", { type: "button", onclick: () => this.#desk.say("mine") }, "Yes, it is my camera"),
        h("button", { type: "button", onclick: () => this.#desk.say("other") }, "No")),
      h("p.quiet", {}, "Camera ", h("code", {}, device)),
    ].filter(Boolean);
  }

  addedScreen() {
    return [
      title("The camera is yours"),
      h("p", {}, "What it sees is signed by it and encrypted to you. It appears under “Events” by itself."),
      h("div.actions", {}, h("a.button.primary", { href: "#/events" }, "To the events"), h("button", { type: "button", onclick: () => this.#desk.close() }, "Add another camera")),
    ];
  }

  otherScreen() {
    const said = h("p", { role: "status" });
    const drop = h("button.primary", { type: "button", onclick: () => this.#desk.throwAway() }, "Throw this pairing away");
    const back = h("button", { type: "button", onclick: () => this.#desk.say("") }, "Back: it is my camera after all");
    const anew = h("button", { type: "button", onclick: () => this.#desk.close() }, "Make a new code");
    this.#live.update = () => {
      const { thrown } = this.#desk;
      drop.hidden = thrown === "sent";
      drop.disabled = thrown === "sending";
      back.hidden = thrown !== "";
      anew.hidden = thrown === "" || thrown === "sending";
      setText(said, thrownText(thrown));
    };
    return [
      title("Then it is not your camera"),
      h("p", {}, "Another camera saw your code and answered before yours: one on the same table or behind a window, or one that somebody put there. It is yours now by signature, and its pictures are of a place that is not your business."),
      h("p", {}, "Throw the pairing away: this browser signs that the camera is nobody's, hides what it sent, and leaves the word with the hub, which passes it on. Then show a new code where no other camera sees it."),
      said,
      h("div.actions", {}, drop, back, anew),
    ];
  }
}

function title(text) {
  return h("h2", { tabIndex: -1 }, text);
}

function thrownText(thrown) {
  if (thrown === "") return "";
  if (thrown === "sending") return "Leaving the word with the hub…";
  if (thrown === "sent") return "It is thrown away. The camera is told when it is there the next time.";
  return `What it sent is hidden here, but the hub did not take the word for it: ${thrown}. Try again.`;
}

function leftText(expires) {
  const left = Math.max(0, expires - Math.floor(Date.now() / 1000));
  return `The code is good for ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
}

function hubText(hub) {
  if (hub === null) return "Waiting for the hub…";
  if (hub.devices.length === 0) return "The hub does not say where cameras reach it, so the code will not either: the camera must have its hub already.";
  const here = hub.devices.every((address) => /^(127\.|localhost:|\[::1\])/.test(address));
  return `The camera will deliver to ${hub.devices.join(", ")}.${here ? " That is this machine alone: a camera elsewhere does not reach it." : ""}`;
}

/** What a person has to change in a field. */
class FieldError extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

function wifiFields() {
  const name = h("input", { type: "text", id: "wifi-name", autocomplete: "off", spellcheck: false, maxLength: 32 });
  const passphrase = h("input", { type: "password", id: "wifi-passphrase", autocomplete: "off", maxLength: 63 });
  const show = h("input", { type: "checkbox", id: "wifi-show", onchange: () => { passphrase.type = show.checked ? "text" : "password"; } });
  const hidden = h("input", { type: "checkbox", id: "wifi-hidden" });
  const row = (input, text) => h("div.field", {}, h("label", { htmlFor: input.id }, text), input);
  const tick = (input, text) => h("div.tick", {}, input, h("label", { htmlFor: input.id }, text));
  const element = h("details.wifi", {}, h("summary", {}, "The camera needs Wi-Fi"),
    row(name, "Network name"), row(passphrase, "Passphrase"), tick(show, "Show the passphrase"), tick(hidden, "The network is hidden"),
    h("p.quiet", {}, "They are in the code alone, are never sent, and are forgotten here when a camera has seen it. Leave the passphrase empty for an open network."));
  const read = () => {
    if (!element.open || name.value === "") {
      if (element.open && passphrase.value !== "") throw new FieldError(name, "Give the network's name, too.");
      return null;
    }
    const ssid = utf8(name.value);
    if (ssid.length > 32) throw new FieldError(name, "A network's name is at most 32 bytes long.");
    if (passphrase.value !== "" && !isPassphrase(passphrase.value)) {
      throw new FieldError(passphrase, "A Wi-Fi passphrase is 8 to 63 letters, digits and signs of the plain keyboard.");
    }
    return { ssid, passphrase: passphrase.value, hidden: hidden.checked };
  };
  return { element, read };
}
