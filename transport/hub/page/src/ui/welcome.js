// The first screen: making or importing keys, and where they stay.

import { KeysError, makeKeys, MAX_FILE_SIZE, parseKeys } from "../keys.js";
import { keepInBrowser } from "../keystore.js";
import { h, save } from "./dom.js";

export class WelcomeView {
  #done;
  #error = h("p.warning", { role: "alert", hidden: true });
  #made = h("div.made", { hidden: true });

  /** @param {(keys: import("../keys.js").Keys, kept: "browser"|"memory") => void} done */
  constructor(done) {
    this.#done = done;
    const file = h("input", { type: "file", id: "key-file", accept: ".json,application/json", onchange: () => this.#import(file) });
    this.element = h("section.welcome", { aria: { label: "Your keys" } },
      h("h1", {}, "Only you can see what your cameras see"),
      h("p.lead", {}, "Your cameras sign each picture and encrypt it to you before it leaves them. This page checks and opens them here, in your browser, with your keys."),
      this.#error,
      h("div.choices", {},
        h("div.choice", {},
          h("h2", {}, "I have keys"),
          h("p", {}, "Choose the file that ", h("code", {}, "lensctl owner export"), " wrote."),
          h("label.button.primary", { htmlFor: "key-file" }, "Import keys"), file),
        h("div.choice", {},
          h("h2", {}, "I am new"),
          h("p", {}, "Make an owner's keys in this browser, and add a camera with them afterwards."),
          h("button", { type: "button", onclick: () => this.#make() }, "Make new keys"),
          this.#made)),
      h("p.quiet", {}, "What is stored where: your keys, the root key among them, stay in this browser until you forget them, and are never sent. Beside them the browser notes which ownership records and how many items it has seen, so that a hub which takes something back is found out. Pictures are only ever in this page's memory. The hub stores what it cannot read, and gets a signature of your viewer key to know whose items to hand out."));
  }

  /** Shows what went wrong. */
  say(message) {
    this.#error.textContent = message;
    this.#error.hidden = false;
  }

  async #import(input) {
    const [file] = input.files;
    if (!file) return;
    try {
      if (file.size > MAX_FILE_SIZE) throw new KeysError("The file is too large to be an owner's keys.");
      await this.#keep(await parseKeys(await file.text()));
    } catch (err) {
      this.say(err instanceof KeysError ? err.message : `The file could not be read: ${err.message}`);
      input.value = "";
    }
  }

  async #make() {
    const { keys, text } = await makeKeys();
    const go = h("button.primary", { type: "button", disabled: true, onclick: () => this.#goOn(keys) }, "Continue");
    this.#made.replaceChildren(
      h("p", {}, "Your owner ID:"), h("code.id", {}, keys.owner),
      h("p", {}, "Save the copy now. It has your root key, which makes cameras yours: without it nothing can be opened, and no camera added or given away, once this browser is gone."),
      h("button", {
        type: "button",
        onclick: () => {
          save([text], "application/json", `lensward-owner-${keys.owner.slice(0, 8)}.json`);
          go.disabled = false;
        },
      }, "Save the copy"), go);
    this.#made.hidden = false;
  }

  async #goOn(keys) {
    location.hash = "#/add";
    await this.#keep(keys);
  }

  async #keep(keys) {
    let kept = "browser";
    try {
      await keepInBrowser(keys);
    } catch {
      kept = "memory";
    }
    this.#done(keys, kept);
  }
}
