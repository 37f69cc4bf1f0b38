// Where keys stay between visits. Two places: this browser (IndexedDB, until
// they are forgotten) and this tab (sessionStorage, until it is closed), the
// latter for keys that came by a link.

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
  return keys ? { keys, kept: "browser" } : null;
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
  await inStore("readwrite", (store) => store.delete("owner")).catch(() => undefined);
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
    return await promise(use(db.transaction(STORE, mode).objectStore(STORE)));
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
