// A passage as a person reads it: Markdown's blocks and a little of its inline marks, made of text nodes only.

import { h } from "./dom.js";

const FENCE = /^\s*(```|~~~)/;
const KINDS = [
  ["table", /^\s*\|/],
  ["heading", /^#{1,6}\s+/],
  ["item", /^\s*[-*•]\s+/],
  ["numbered", /^\s*\d+[.)]\s/],
];
const SEPARATOR = /^[\s|:-]+$/;
const INLINE = /(`)([^`\n]+)`|(\*\*)([^*\n]+)\*\*|(\[)([^\][\n]*)\]\([^()\s]*\)/g;
const TAGS = { "`": "code", "**": "strong", "[": "span" };

/** Elements; `marks` are [start, end, id] of the text, which become `<mark data-quote=id>`. */
export function readable(text, marks = []) {
  return blocksOf(text).map(({ kind, start, end }) => {
    if (kind === "code") return h("pre", {}, marked(text, start, end, marks));
    if (kind === "table") return tableOf(text, start, end, marks);
    return h("p", { class: kind }, inline(text, start, end, marks));
  });
}

function blocksOf(text) {
  const blocks = [];
  let fenced = false;
  let fresh = true;
  let at = 0;
  for (const line of text.split("\n")) {
    const [start, end] = [at, at + line.length];
    at = end + 1;
    if (FENCE.test(line)) fenced = !fenced;
    if (FENCE.test(line) || (!fenced && !line.trim())) {
      fresh = true;
      continue;
    }
    const [kind, form] = fenced ? ["code"] : (KINDS.find((one) => one[1].test(line)) ?? ["prose"]);
    const last = blocks.at(-1);
    const skipped = kind === "heading" || kind === "item" ? form.exec(line)[0].length : 0;
    if (!fresh && last.kind === kind && ["code", "table", "prose"].includes(kind)) last.end = end;
    else blocks.push({ kind, start: start + skipped, end });
    fresh = false;
  }
  return blocks;
}

function tableOf(text, start, end, marks) {
  const rows = [];
  for (const line of text.slice(start, end).matchAll(/[^\n]+/g)) {
    if (SEPARATOR.test(line[0])) continue;
    const cells = [...line[0].replace(/\|\s*$/, "").matchAll(/\|([^|]*)/g)];
    rows.push(cells.map((cell) => [start + line.index + cell.index + 1, cell[1].length]));
  }
  const tag = (row) => (row === 0 ? "th" : "td");
  const drawn = rows.map((cells, row) =>
    h(
      "tr",
      {},
      cells.map(([at, length]) => h(tag(row), {}, inline(text, at, at + length, marks))),
    ),
  );
  return h("table", {}, h("tbody", {}, drawn));
}

/** Text with code, bold and link words; what a link points to is not followed from here. */
export function inline(text, start, end, marks = []) {
  const found = [];
  let at = start;
  for (const one of text.slice(start, end).matchAll(INLINE)) {
    const sign = one[1] ?? one[3] ?? one[5];
    const words = one[2] ?? one[4] ?? one[6];
    const first = start + one.index + sign.length;
    found.push(
      ...marked(text, at, start + one.index, marks),
      h(TAGS[sign], {}, marked(text, first, first + words.length, marks)),
    );
    at = start + one.index + one[0].length;
  }
  return [...found, ...marked(text, at, end, marks)];
}

/** A piece of text with its quotes marked. */
export function marked(text, start, end, marks) {
  const found = [];
  let at = start;
  for (const [from, to, id] of [...marks].sort((a, b) => a[0] - b[0])) {
    const [first, last] = [Math.max(from, at), Math.min(to, end)];
    if (first >= last) continue;
    found.push(text.slice(at, first), h("mark", { "data-quote": id }, text.slice(first, last)));
    at = last;
  }
  return [...found, text.slice(at, end)];
}
