// The thumbnails that are decrypted right now, as object URLs: at most 300, the
// least recently wanted goes first.

import { CLOCK_UNSET } from "../item.js";

const MOST = 300;

export class Pictures {
  #kept = new Map();
  #viewer;
  #shown;
  #changed;

  /**
   * @param {import("../viewer.js").Viewer} viewer
   * @param {(header: object) => void} shown told of each picture that is put on the page
   * @param {() => void} changed told when a picture has come or gone
   */
  constructor(viewer, shown, changed) {
    this.#viewer = viewer;
    this.#shown = shown;
    this.#changed = changed;
  }

  /**
   * An event's newest thumbnail: its URL, or null with why. While a better one is
   * on its way the one before stays. Asks for what is not here.
   * @returns {{url: string|null, failure: string}}
   */
  of(event) {
    const kept = this.#kept.get(event.key) ?? { url: null, hash: "", wanted: "", failure: "" };
    this.#kept.delete(event.key);
    this.#kept.set(event.key, kept); // now the most recently wanted
    // While the time line is still being read, what is newest now is soon not.
    const isSettled = this.#viewer.state !== "catching-up";
    if (isSettled && event.thumbnail && kept.wanted !== event.thumbnail.hash) this.#want(event, kept);
    this.#evict();
    return kept;
  }

  async #want(event, kept) {
    const stub = event.thumbnail;
    kept.wanted = stub.hash;
    kept.failure = "";
    try {
      const { header, bytes } = await this.#viewer.open(stub, { urgency: stub.header.clock === CLOCK_UNSET ? Date.now() : stub.header.captured });
      if (kept.wanted !== stub.hash || this.#kept.get(event.key) !== kept) return;
      const last = kept.url;
      kept.url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
      kept.hash = stub.hash;
      this.#shown(header);
      this.#changed();
      if (last) requestAnimationFrame(() => URL.revokeObjectURL(last));
    } catch (err) {
      if (kept.wanted !== stub.hash) return;
      kept.failure = err.message;
      this.#changed();
    }
  }

  #evict() {
    for (const [key, kept] of this.#kept) {
      if (this.#kept.size <= MOST) return;
      this.#kept.delete(key);
      if (kept.url) URL.revokeObjectURL(kept.url);
    }
  }

  /** Gives everything back. */
  close() {
    for (const { url } of this.#kept.values()) if (url) URL.revokeObjectURL(url);
    this.#kept.clear();
  }
}
