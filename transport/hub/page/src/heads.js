// The heads that members of a household compare (docs/ref/findings.md): a file of
// envelopes, each of which proves itself.

import { base64url, unbase64url } from "./bytes.js";
import { parseEnvelope, verifyEnvelope } from "./item.js";
import { parseJSON } from "./json.js";
import { Refusal } from "./reasons.js";

const LABEL = "heads/1";
const MAX_HEADS = 512;
export const MAX_HEADS_FILE = 2 << 20;
const MAX_ENVELOPE = 2048;

export class HeadsError extends Error {}

/**
 * Reads a file of heads of this owner's household. An envelope that does not verify
 * is left out.
 * @returns {Promise<object[]>} verified items, whose policy is still to be checked
 */
export async function parseHeads(text, owner) {
  if (text.length > MAX_HEADS_FILE) throw new HeadsError("The file is too large to be one of heads.");
  const file = read(text);
  if (file?.lensward !== LABEL || !Array.isArray(file.heads) || file.heads.length > MAX_HEADS || !Number.isSafeInteger(file.made) || file.made < 0) {
    throw new HeadsError("This is not a file of heads.");
  }
  if (file.owner !== owner) throw new HeadsError("This file is of another household.");
  const items = [];
  for (const envelope of file.heads) {
    const item = await verified(envelope);
    if (item !== null) items.push(item);
  }
  return items;
}

function read(text) {
  try {
    return parseJSON(text);
  } catch {
    throw new HeadsError("This is not a file of heads: it is not JSON.");
  }
}

async function verified(text) {
  let bytes;
  try {
    bytes = unbase64url(text);
  } catch {
    throw new HeadsError("A head in the file is not base64url.");
  }
  if (bytes.length > MAX_ENVELOPE) throw new HeadsError("A head in the file is too large.");
  try {
    const item = await parseEnvelope(bytes);
    await verifyEnvelope(item);
    return item;
  } catch (err) {
    if (err instanceof Refusal) return null;
    throw err;
  }
}

/** Writes a file of heads, the newest first. */
export function headsFile(owner, heads, now) {
  const envelopes = heads.filter(({ envelope }) => envelope !== null).toReversed().slice(0, MAX_HEADS).map(({ envelope }) => base64url(envelope));
  return `${JSON.stringify({ lensward: LABEL, owner, made: now, heads: envelopes }, null, 1)}\n`;
}
