// Where a quote stands in a passage, however both are spaced and marked up: the service checked its words already.

const MARKS = new Set("*_`\\~#>|");
const SAME = new Map(
  [..."‘’‛′ʼ"]
    .map((c) => [c, "'"])
    .concat(
      [..."“”„‟″«»"].map((c) => [c, '"']),
      [..."‐‑‒–—―−"].map((c) => [c, "-"]),
    ),
);

/** [start, end] in the text, or null. */
export function locate(quote, text) {
  const source = folded(text);
  const wanted = folded(quote).text.trim();
  const at = wanted ? source.text.indexOf(wanted) : -1;
  return at < 0 ? null : [source.places[at], source.places[at + wanted.length - 1] + 1];
}

function folded(text) {
  const places = [];
  let out = "";
  const hidden = linkTargets(text);
  for (let i = 0; i < text.length; i++) {
    if (hidden.has(i) || MARKS.has(text[i])) continue;
    const letter = /\s/.test(text[i]) ? " " : (SAME.get(text[i]) ?? text[i]);
    if (letter === " " && (out === "" || out.endsWith(" "))) continue;
    out += letter;
    places.push(i);
  }
  return { text: out, places };
}

/** `[words](target)` reads `words`. */
function linkTargets(text) {
  const hidden = new Set();
  for (const found of text.matchAll(/!?\[([^\][]*)\]\(([^()\s]*)\)/g)) {
    const words = found.index + found[0].indexOf("[") + 1;
    for (let i = found.index; i < found.index + found[0].length; i++) {
      if (i < words || i >= words + found[1].length) hidden.add(i);
    }
  }
  return hidden;
}
