// The page's start: keys from the link, from this tab or from this browser.

import { KeysError, parseKeys, takeKeysByToken, takeKeysFromAddress } from "./keys.js";
import { keepInTab, loadKeys } from "./keystore.js";
import { startApp } from "./ui/app.js";

async function findKeys() {
  if (!globalThis.crypto?.subtle) {
    return { trouble: "This browser does no cryptography here: it needs HTTPS, or an address on this machine such as http://127.0.0.1." };
  }
  try {
    const text = takeKeysFromAddress(location, history) ?? await takeKeysByToken(location, history, fetch.bind(globalThis));
    if (text !== null) {
      const keys = await parseKeys(text);
      return { keys, kept: keepInTab(text) ? "tab" : "memory" };
    }
  } catch (err) {
    if (!(err instanceof KeysError)) throw err;
    return { trouble: err.message };
  }
  return (await loadKeys()) ?? {};
}

startApp(document.getElementById("app"), await findKeys());
