// Where keys stay between visits. Two places: this browser (IndexedDB, until
// they are forgotten) and this tab (sessionStorage, until it is closed), the
// latter for keys that came by a link. Beside them is the pairing that is under
// way: it holds the code's secret until a camera has come.

import { findingFile } from "./findings.js";
import { parseKeys } from "./keys.js";

const DATABASE = "lensward";
const STORE = "keys";
const TAB = "lensward.keys";

/** Opens what is kept. @returns {Promise<{keys: import("./keys.js").Keys, kept: "tab"|"browser"}|null>} */
export async function loadKeys() {
  const text = tabStorage()?.getItem(TAB);
  if (text) {
    try {
      return { keys: await parseKeys(text), kept: "tab" };
    } catch {
      tabStorage().removeItem(TAB);
    }
  }
  const keys = await inStore("readonly", (store) => store.get("owner")).catch(() => undefined);
  return keys ? { keys: { rootKey: null, memberIdentities: [], ...keys }, kept: "browser" } : null;
}

/** Keeps the exported text for as long as the tab is open; false when the browser does not let us. */
export function keepInTab(text) {
  try {
    tabStorage().setItem(TAB, text);
    return true;
  } catch {
    return false;
  }
}

/** Keeps keys in this browser, in place of any other; throws when it does not let us. */
export async function keepInBrowser(keys) {
  await inStore("readwrite", (store) => store.put(keys, "owner"));
  tabStorage()?.removeItem(TAB);
}

export async function forgetKeys() {
  tabStorage()?.removeItem(TAB);
  await inStore("readwrite", (store) => store.clear()).catch(() => undefined);
}

/** The pairing that is under way, or null. @returns {Promise<object|null>} */
export async function loadPairing() {
  return (await inStore("readonly", (store) => store.get("pairing")).catch(() => undefined)) ?? null;
}

/** Keeps a pairing, in place of any other: it is on the disk when this returns. Throws when the browser does not let us. */
export async function keepPairing(pairing) {
  await inStore("readwrite", (store) => store.put(pairing, "pairing"));
}

export async function forgetPairing() {
  await inStore("readwrite", (store) => store.delete("pairing")).catch(() => undefined);
}

const MAX_FINDINGS = 1000;

/** The findings that are kept of an owner's cameras. @returns {Promise<import("./findings.js").Finding[]>} */
export async function loadFindings(owner) {
  const range = IDBKeyRange.bound(`finding/${owner}/`, `finding/${owner}/~`);
  return (await inStore("readonly", (store) => store.getAll(range, MAX_FINDINGS)).catch(() => undefined)) ?? [];
}

/** Keeps a finding until the keys are forgotten. */
export async function keepFinding(owner, finding) {
  const { name } = await findingFile(finding);
  await inStore("readwrite", (store) => store.put(finding, `finding/${owner}/${name}`));
}

function tabStorage() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null;
  }
}

async function inStore(mode, use) {
  const db = await promise(Object.assign(indexedDB.open(DATABASE, 1), {
    onupgradeneeded: (e) => e.target.result.createObjectStore(STORE),
  }));
  try {
    const transaction = db.transaction(STORE, mode, { durability: "strict" });
    const [value] = await Promise.all([promise(use(transaction.objectStore(STORE))), finished(transaction)]);
    return value;
  } finally {
    db.close();
  }
}

function promise(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("the key store is in use by an older page"));
  });
}

function finished(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("the key store did not take it"));
  });
}
