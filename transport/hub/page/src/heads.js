// How far each chain was seen to go, kept between visits: a hub that hands out
// less than it once did is found out.

const MAX_CHAINS = 512;

export class Heads {
  #storage;
  #key;
  #heads = new Map();
  #moved = false;

  /** @param {string} owner @param {Storage|null} storage */
  constructor(owner, storage) {
    this.#storage = storage;
    this.#key = `lensward.heads.${owner}`;
    try {
      const kept = JSON.parse(storage.getItem(this.#key) ?? "[]");
      this.#heads = new Map(kept.filter(([, seq]) => Number.isSafeInteger(seq) && seq > 0));
    } catch {
      // Nothing kept, or nowhere to keep it: the chains are as long as this visit shows.
    }
  }

  /** What is known from before: {device, epoch, chain, seq}. */
  *known() {
    for (const [name, seq] of this.#heads) {
      const [device, epoch, chain] = name.split("/");
      yield { device, epoch: Number(epoch), chain: Number(chain), seq };
    }
  }

  note({ device, epoch, chain, seq }) {
    const name = `${device}/${epoch}/${chain}`;
    if (seq <= (this.#heads.get(name) ?? 0)) return;
    this.#heads.delete(name);
    this.#heads.set(name, seq);
    if (this.#heads.size > MAX_CHAINS) this.#heads.delete(this.#heads.keys().next().value);
    this.#moved = true;
  }

  save() {
    if (!this.#moved) return;
    try {
      this.#storage.setItem(this.#key, JSON.stringify([...this.#heads]));
      this.#moved = false;
    } catch {
      // As above.
    }
  }
}
