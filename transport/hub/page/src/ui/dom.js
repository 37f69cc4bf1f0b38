// Small helpers over the DOM. Text only ever goes in as text.

/**
 * Makes an element. Properties are set as properties, data as dataset, aria and
 * role as attributes, on* as listeners.
 */
export function h(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length > 0) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (key === "data") Object.assign(element.dataset, value);
    else if (key === "aria") for (const [k, v] of Object.entries(value)) element.setAttribute(`aria-${k}`, v);
    else if (key === "role") element.setAttribute("role", value);
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element[key] = value;
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

/** Sets an element's text, leaving it alone where it is that already. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Makes nodes the children of parent, in this order, moving as few as possible. */
export function arrange(parent, nodes) {
  let at = parent.firstChild;
  for (const node of nodes) {
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** Lets many changes in one frame lead to one call. */
export function oncePerFrame(run) {
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      run();
    });
  };
}

/** Offers bytes as a file to save. */
export function save(parts, type, name) {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A definition list of [term, description] pairs; null pairs are left out. */
export function facts(pairs) {
  return h("dl.facts", {}, pairs.filter(Boolean).map(([term, ...description]) => h("div", {}, h("dt", {}, term), h("dd", {}, ...description))));
}
