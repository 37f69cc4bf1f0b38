// A text as a QR code: dark on white whatever the page's colours, with the quiet
// zone that readers need.

import { encode } from "uqr";

const SVG = "http://www.w3.org/2000/svg";
const QUIET = 4;

/** Draws text as an SVG element. Texts of QR's alphanumeric characters give the smallest codes. */
export function qrCode(text, label) {
  const { data } = encode(text, { ecc: "L", border: QUIET });
  const size = data.length;
  const svg = element("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges" });
  svg.append(element("rect", { width: size, height: size, fill: "#fff" }), element("path", { d: data.map(rowPath).join(""), fill: "#000" }));
  return svg;
}

function element(name, attributes) {
  const out = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) out.setAttribute(key, value);
  return out;
}

/** A row's dark modules, one stroke for each run. */
function rowPath(row, y) {
  let path = "";
  for (let x = 0; x < row.length; x++) {
    if (!row[x]) continue;
    let end = x;
    while (row[end]) end++;
    path += `M${x} ${y}h${end - x}v1h${x - end}z`;
    x = end;
  }
  return path;
}
