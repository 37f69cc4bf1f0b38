// Strict JSON: what RFC 8259 allows, with no name twice in one object and no
// nesting deeper than the formats need. JSON.parse alone would keep the last of
// two equal names, so that two readers of one body could see two things.

const MAX_DEPTH = 16;

/** Parses text, or throws. */
export function parseJSON(text) {
  const value = JSON.parse(text);
  checkNames(text);
  return value;
}

// checkNames walks text, already known to be well-formed, by its structure
// alone: strings, braces, brackets and colons.
function checkNames(text) {
  const stack = [];
  let last = null;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '"') {
      const end = stringEnd(text, i);
      last = text.slice(i, end);
      i = end - 1;
    } else if (c === "{" || c === "[") {
      stack.push(c === "{" ? new Set() : null);
      if (stack.length > MAX_DEPTH) throw new SyntaxError("JSON nested too deeply");
    } else if (c === "}" || c === "]") {
      stack.pop();
    } else if (c === ":") {
      const names = stack[stack.length - 1];
      const name = JSON.parse(last);
      if (names.has(name)) throw new SyntaxError(`JSON with the name ${last} twice`);
      names.add(name);
    }
  }
}

function stringEnd(text, start) {
  let i = start + 1;
  while (text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
  return i + 1;
}
