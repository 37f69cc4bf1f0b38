// The household, as docs/ref/household.md has it: statements that the owner
// signed, of who belongs to it and for whom cameras encrypt, and the keys that
// come with them. This reads; changes are made with lensctl.

import { Decrypter, Encrypter, identityToRecipient } from "age-encryption";
import { base32, equal, fromUTF8, hex, sha256, utf8 } from "./bytes.js";
import { CBORError, decode, decodeFirst } from "./cbor.js";
import { importPublicKey, isP256SPKI, parseEnvelope, verifySignature } from "./cose.js";
import { refuse } from "./reasons.js";

export const MAX_STATEMENT = 256 << 10;
const MAX_ENVELOPE = 96 << 10;
const MAX_KEYS = 160 << 10;
const MAX_IDENTITIES = 32 << 10;
const DAY = 24 * 3600_000;
const LABEL = "lensward/household/1";

const isBytes = (v) => v instanceof Uint8Array;
const isText = (v) => typeof v === "string";
const isInteger = (v) => typeof v === "bigint" || Number.isSafeInteger(v);
const isUnsigned = (v) => isInteger(v) && v >= 0;
const isCount = (v) => Number.isSafeInteger(v) && v >= 1;
const isTime = (v) => Number.isSafeInteger(v) && v >= 0;
const isHash = (v) => v.length === 32;
const isList = (most) => (v) => v.length >= 1 && v.length <= most;
const isSpan = (most) => (v) => isCount(v) && v >= DAY && v <= most * DAY;

// Each field: its name, its type, its rule; optional where one may be absent.
const STATEMENT = new Map([
  [0, ["label", isText, () => true]], [1, ["owner", isBytes, isHash]], [2, ["ownerKey", isBytes, isP256SPKI]], [3, ["serial", isUnsigned, isCount]],
  [4, ["previous", isBytes, (v) => isHash(v) && v.some((b) => b !== 0), "optional"]], [5, ["created", isInteger, isTime]],
  [6, ["rotation", isUnsigned, isSpan(366)]], [7, ["retention", isUnsigned, isSpan(3660)]], [8, ["periods", Array.isArray, isList(256)]],
  [9, ["recipient", isText, isHybrid]], [10, ["members", Array.isArray, isList(32)]],
  [11, ["keysSize", isUnsigned, (v) => isCount(v) && v <= MAX_KEYS]], [12, ["keysHash", isBytes, isHash]],
]);
const PERIOD = new Map([
  [1, ["number", isUnsigned, isCount]], [2, ["recipient", isBytes, isHash]], [3, ["from", isInteger, isTime]], [4, ["until", isInteger, isCount, "optional"]],
]);
const MEMBER = new Map([
  [1, ["key", isBytes, isP256SPKI]], [2, ["name", isText, (v) => /^\P{Cc}{1,64}$/u.test(v)]], [3, ["role", isUnsigned, (v) => v >= 1 && v <= 3]],
  [4, ["until", isUnsigned, isCount, "optional"]], [5, ["recipient", isText, isHybrid]], [6, ["card", isUnsigned, isCount]], [7, ["since", isInteger, isTime]],
]);

function isHybrid(text) {
  if (!/^age1pq1[02-9ac-hj-np-z]+$/.test(text)) return false;
  try {
    new Encrypter().addRecipient(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * @typedef {object} Statement what one says; IDs and hashes as text
 * @property {string} owner
 * @property {number} serial
 * @property {string} previous the hash of the one before, or ""
 * @property {number} created milliseconds since 1970
 * @property {number} rotation milliseconds, as is retention
 * @property {number} retention
 * @property {{number: number, recipient: string, from: number, until?: number}[]} periods
 *   recipient is the hash of its text
 * @property {string} recipient the current period's
 * @property {{key: Uint8Array, name: string, role: number, until?: number, recipient: string, card: number, since: number}[]} members
 * @property {string} hash its name
 * @property {Uint8Array} envelope
 * @property {Uint8Array|null} keys null where they were taken away
 */

/** Reads and verifies a statement of an owner, with or without its keys. @returns {Promise<Statement>} */
export async function verifyStatement(bytes, owner) {
  if (bytes.length > MAX_STATEMENT) throw refuse("too-large", `statement of ${bytes.length} bytes, at most ${MAX_STATEMENT}`);
  const signed = parseEnvelope(bytes, MAX_ENVELOPE);
  const says = readFields(labelled(signed.payload), STATEMENT, "statement");
  says.periods = says.periods.map((p) => readFields(p, PERIOD, "period"));
  says.members = says.members.map((m) => readFields(m, MEMBER, "member"));
  const key = await importPublicKey(says.ownerKey).catch((err) => { throw refuse("bad-field", `the owner key: ${err.message}`); });
  await checkPeriods(says);
  await checkMembers(says);
  if ((says.serial === 1) !== (says.previous === undefined)) throw refuse("bad-field", "the serial and the statement before do not fit");
  if (!equal(await sha256(says.ownerKey), says.owner) || base32(says.owner) !== owner) throw refuse("wrong-owner", "it is another owner's");
  if (!(await verifySignature(key, signed))) throw refuse("bad-signature", "the owner did not sign it");
  return {
    ...says, owner, previous: says.previous ? hex(says.previous) : "", periods: says.periods.map((p) => ({ ...p, recipient: hex(p.recipient) })),
    hash: hex(await sha256(signed.payload)), envelope: signed.envelope, keys: await keysBehind(bytes.subarray(signed.envelope.length), says),
  };
}

function labelled(payload) {
  const { value, end, flaw } = translated(() => decodeFirst(payload));
  if (!(value instanceof Map) || end !== payload.length) throw refuse("malformed", "the payload is not one map");
  if (value.get(0) !== LABEL) throw refuse("unknown-version", JSON.stringify(value.get(0) ?? ""));
  if (flaw) throw refuse("not-canonical", flaw.message);
  return value;
}

function translated(read) {
  try {
    return read();
  } catch (err) {
    if (err instanceof CBORError) throw refuse(err.kind, err.message);
    throw err;
  }
}

function readFields(map, rules, what) {
  if (!(map instanceof Map)) throw refuse("malformed", `the ${what} is no map`);
  for (const [key, value] of map) {
    if (!rules.has(key)) throw refuse("not-canonical", `the ${what} has an entry ${key} that is not known`);
    if (value !== null && !rules.get(key)[1](value)) throw refuse("malformed", `the ${what}'s ${rules.get(key)[0]} is of another type`);
  }
  const out = {};
  for (const [key, [name, , holds, optional]] of rules) {
    if (!map.has(key) && optional) continue;
    if ((map.get(key) ?? null) === null || !holds(map.get(key))) throw refuse("bad-field", `the ${what}'s ${name} is missing or breaks its rule`);
    out[name] = map.get(key);
  }
  return out;
}

async function checkPeriods({ periods, recipient, created }) {
  const seen = new Set();
  for (const [i, p] of periods.entries()) {
    const before = periods[i - 1];
    const isLast = i === periods.length - 1;
    if (before && (p.number !== before.number + 1 || p.from < before.from)) throw refuse("bad-field", "periods out of order");
    if ((p.until === undefined) !== isLast || p.until < p.from) throw refuse("bad-field", `period ${p.number} ends wrongly`);
    if (seen.has(hex(p.recipient))) throw refuse("bad-field", "two periods with one recipient");
    seen.add(hex(p.recipient));
  }
  const current = periods.at(-1);
  if (current.from > created || !equal(current.recipient, await sha256(utf8(recipient)))) throw refuse("bad-field", "the current period does not fit");
}

async function checkMembers({ members, created }) {
  const seen = new Set();
  for (const m of members) {
    if (!(await importPublicKey(m.key).then(() => true, () => false))) throw refuse("bad-field", "a member's key is none");
    if (m.role === 3 && !m.until) throw refuse("bad-field", "a guest without a date");
    if (seen.has(hex(m.key)) || seen.has(m.recipient)) throw refuse("bad-field", "a member's key or recipient twice");
    seen.add(hex(m.key)).add(m.recipient);
    if (m.since > created) throw refuse("bad-field", "a member's recipient from later");
  }
}

async function keysBehind(rest, { keysSize, keysHash }) {
  if (rest.length === 0) return null;
  if (rest.length !== keysSize || !equal(await sha256(rest), keysHash)) throw refuse("bad-keys", "what follows the envelope is not the keys");
  return rest;
}

/** Whether a new period begins with a statement after the known one. */
const rotates = (statement, known) => statement.recipient !== known.recipient;

/** Refuses a statement that may not take the place of the known one; the known one itself may. */
export function checkFollows(statement, known) {
  const { serial, owner, hash, previous, created } = statement;
  if (owner !== known.owner) throw refuse("wrong-owner", "it is another owner's");
  if (hash === known.hash) return;
  if (serial === known.serial) throw refuse("fork", `another statement ${serial}`);
  if (serial < known.serial) throw refuse("roll-back", `statement ${serial}, known is ${known.serial}`);
  if (serial > known.serial + 1) throw refuse("gap", `statement ${serial}, known is ${known.serial}`);
  if (previous !== known.hash) throw refuse("fork", `statement ${serial} follows another ${known.serial} than the known one`);
  if (created < known.created) throw refuse("bad-succession", "it was created before the one that it follows");
  checkPeriodsFollow(statement, known);
  checkMembersFollow(statement, known);
}

function checkPeriodsFollow(statement, known) {
  const want = known.periods.map((p) => ({ ...p }));
  if (rotates(statement, known)) {
    const last = want.at(-1);
    last.until = Math.max(statement.created, 1);
    want.push({ number: last.number + 1, recipient: statement.periods.at(-1).recipient, from: statement.created });
  }
  const spelled = (p) => [p.number, p.recipient, p.from, p.until ?? 0].join();
  const tail = want.slice(-statement.periods.length).map(spelled);
  if (statement.periods.length > want.length || !statement.periods.every((p, i) => spelled(p) === tail[i])) {
    throw refuse("bad-succession", "it changes what was said of a period");
  }
}

const memberOf = ({ members }, key) => members.find((m) => equal(m.key, key));

function checkMembersFollow(statement, known) {
  for (const before of known.members) {
    const now = memberOf(statement, before.key);
    if (!now && !rotates(statement, known)) throw refuse("bad-succession", "it removes a member without a new period");
    if (!now || (now.recipient === before.recipient && now.card === before.card && now.since === before.since)) continue;
    if (now.card <= before.card || now.recipient === before.recipient || now.since !== statement.created) {
      throw refuse("bad-succession", "it changes a member's recipient without a newer card");
    }
  }
  for (const m of statement.members) {
    if (!memberOf(known, m.key) && m.since !== statement.created) throw refuse("bad-succession", "it dates a new member back");
  }
}

/**
 * Opens the keys of a statement with a member's identities.
 * @returns {Promise<string[]>} the periods' identities; refused as "locked" where there are none for them
 */
export async function openKeys(statement, identities) {
  if (statement.keys === null) throw refuse("locked", "the keys were taken away");
  const files = readFiles(statement.keys);
  const periods = new Set(statement.periods.map(({ recipient }) => recipient));
  const out = [];
  for (const [i, file] of files.entries()) {
    const opened = await openFile(file, identities);
    if (opened === null) continue;
    const recipients = await Promise.all(opened.map(identityToRecipient));
    for (const r of recipients) if (!periods.has(hex(await sha256(utf8(r))))) throw refuse("bad-keys", "an identity of no period that is listed");
    if (i === 0 && !recipients.includes(statement.recipient)) throw refuse("bad-keys", "the current period's identity is not in them");
    out.push(...opened);
  }
  if (out.length === 0) throw refuse("locked", "they are not for this member");
  return [...new Set(out)];
}

function readFiles(keys) {
  try {
    const files = decode(keys);
    if (Array.isArray(files) && files.length >= 1 && files.length <= 2 && files.every(isBytes)) return files;
  } catch (err) {
    if (!(err instanceof CBORError)) throw err;
  }
  throw refuse("bad-keys", "not one or two age files");
}

/** The identities in an age file, or null where it is not for these. */
async function openFile(file, identities) {
  const decrypter = new Decrypter();
  for (const identity of identities) decrypter.addIdentity(identity);
  let plain;
  try {
    plain = await decrypter.decrypt(file);
  } catch (err) {
    if (/no identity matched/.test(err.message)) return null;
    throw refuse("bad-keys", err.message);
  }
  return readIdentities(plain);
}

function readIdentities(plain) {
  const lines = plain.length > MAX_IDENTITIES ? [] : textOf(plain).split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#"));
  if (lines.length === 0 || !lines.every((line) => /^AGE-SECRET-KEY-PQ-1[A-Z0-9]+$/.test(line))) throw refuse("bad-keys", "not an identities file");
  return lines;
}

function textOf(plain) {
  try {
    return fromUTF8(plain);
  } catch {
    return "";
  }
}

/** Of identities, those that may still be there: of periods that are listed and whose retention has not passed; the current one first. */
export async function keptIdentities(statement, identities, now) {
  const byHash = new Map();
  for (const identity of identities) byHash.set(hex(await sha256(utf8(await identityToRecipient(identity)))), identity);
  return statement.periods.toReversed()
    .filter(({ until, recipient }) => byHash.has(recipient) && (until === undefined || until + statement.retention > now))
    .map(({ recipient }) => byHash.get(recipient));
}

/**
 * What each statement of a chain changed, oldest first. The first is taken as it is.
 * @returns {{serial: number, at: number, period: number, dropped: number[], added: object[], removed: object[], altered: object[], renewed: object[], settings: {rotation: number, retention: number}|null}[]}
 */
export function historyOf(chain) {
  return chain.map((s, i) => {
    const before = chain[i - 1];
    const base = { serial: s.serial, at: s.created };
    const settings = { rotation: s.rotation, retention: s.retention };
    if (!before) return { ...base, period: s.periods.at(-1).number, dropped: [], added: s.members, removed: [], altered: [], renewed: [], settings };
    const known = s.members.filter((m) => memberOf(before, m.key)).map((m) => [m, memberOf(before, m.key)]);
    return {
      ...base,
      period: rotates(s, before) ? s.periods.at(-1).number : 0,
      dropped: before.periods.filter((p) => !s.periods.some((q) => q.number === p.number)).map((p) => p.number),
      added: s.members.filter((m) => !memberOf(before, m.key)),
      removed: before.members.filter((m) => !memberOf(s, m.key)),
      altered: known.filter(([m, b]) => m.name !== b.name || m.role !== b.role || m.until !== b.until).map(([m]) => m),
      renewed: known.filter(([m, b]) => m.card !== b.card).map(([m]) => m),
      settings: s.rotation !== before.rotation || s.retention !== before.retention ? settings : null,
    };
  });
}

