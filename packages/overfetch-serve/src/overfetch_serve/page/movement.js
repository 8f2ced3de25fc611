// How reranking moved the candidates: the first stage's order, the final order, and a line for each.

import { h, svg } from "./dom.js";
import { showPassage } from "./passages.js";

const ROW = 28; // pixels, as in the style sheet
const WIDTH = 100;
const WEIGHED =
  "Not by the rerank score alone: this collection weighs both stages together, or lets what a question names lead.";

export function movementOf(found) {
  const final = found.candidates?.length ? found.candidates : found.hits;
  if (final.length < 2) return null;
  const first = [...final].sort((a, b) => a.first_stage_rank - b.first_stage_rank);
  const kept = new Set(found.hits.map((hit) => hit.passage_id));
  const names = namesOf(final);
  const places = new Map(first.map((hit, place) => [hit.passage_id, place]));
  const chart = h(
    "div",
    { class: "movement" },
    firstColumn(first, kept, names),
    lines(final, places, kept),
    finalColumn(final, kept, names),
  );
  for (const event of ["mouseover", "focusin"])
    chart.addEventListener(event, (e) => highlight(chart, e.target.closest("[data-passage]")?.dataset.passage));
  for (const event of ["mouseleave", "focusout"]) chart.addEventListener(event, () => highlight(chart, null));
  return h(
    "section",
    { class: "card", "aria-labelledby": "movement-title" },
    h("h2", { id: "movement-title" }, "Before and after reranking"),
    chart,
    isByScore(final) ? null : h("p", { class: "hint" }, WEIGHED),
  );
}

const isByScore = (final) =>
  final.every((hit, n) => !n || hit.rerank_score === null || hit.rerank_score <= final[n - 1].rerank_score);

/** For the eye: the final column says to everybody where each came from. */
function firstColumn(first, kept, names) {
  const row = (hit) =>
    h(
      "li",
      { class: kept.has(hit.passage_id) ? "kept" : "", "data-passage": hit.passage_id },
      h("span", { class: "name" }, names.get(hit.passage_id)),
      h("span", { class: "number" }, hit.first_stage_score.toFixed(2)),
      h("span", { class: "place" }, String(hit.first_stage_rank)),
    );
  return h(
    "div",
    { class: "before", "aria-hidden": "true" },
    h("p", { class: "column" }, "First stage"),
    h("ol", {}, first.map(row)),
  );
}

function finalColumn(final, kept, names) {
  const row = (hit, n) => {
    const score = hit.rerank_score === null ? "–" : hit.rerank_score.toFixed(2);
    const label = `Now ${hit.rank}, was ${hit.first_stage_rank}: ${names.get(hit.passage_id)}${hit.rerank_score === null ? "" : `, score ${score}`}${kept.has(hit.passage_id) ? ", kept" : ""}`;
    const button = h(
      "button",
      { type: "button", tabindex: n ? -1 : 0, "aria-label": label, onclick: () => showPassage(hit.passage_id) },
      h("span", { class: "place" }, String(hit.rank)),
      h("span", { class: "name" }, names.get(hit.passage_id)),
      h("span", { class: "number" }, score),
    );
    return h("li", { class: kept.has(hit.passage_id) ? "kept" : "", "data-passage": hit.passage_id }, button);
  };
  const list = h("ol", { "aria-label": "Final order; arrow keys move", onkeydown: rove }, final.map(row));
  return h("div", { class: "after" }, h("p", { class: "column" }, "Final order"), list);
}

/** The title; of several passages of one document the innermost heading first, in which they differ. */
function namesOf(hits) {
  const counts = new Map();
  for (const { title } of hits) counts.set(title, (counts.get(title) ?? 0) + 1);
  const named = (hit) => (counts.get(hit.title) > 1 ? (hit.breadcrumb || hit.title).split(" > ") : [hit.title]);
  const worded = (headings) => (headings.length > 1 ? `${headings.at(-1)} · ${headings[0]}` : headings[0]);
  return new Map(hits.map((hit) => [hit.passage_id, worded(named(hit))]));
}

function lines(final, places, kept) {
  const height = final.length * ROW;
  const drawn = final.map((hit, place) => {
    const [from, to] = [places.get(hit.passage_id) * ROW + ROW / 2, place * ROW + ROW / 2];
    const path = `M0 ${from}C${WIDTH / 2} ${from} ${WIDTH / 2} ${to} ${WIDTH} ${to}`;
    return svg("path", { d: path, class: kept.has(hit.passage_id) ? "kept" : "", "data-passage": hit.passage_id });
  });
  drawn.sort((a, b) => a.classList.contains("kept") - b.classList.contains("kept"));
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${height}`, height, preserveAspectRatio: "none", "aria-hidden": "true" },
    drawn,
  );
  return h("div", { class: "lines" }, picture);
}

function highlight(chart, passageId) {
  chart.classList.toggle("pointing", Boolean(passageId));
  for (const one of chart.querySelectorAll("[data-passage]"))
    one.classList.toggle("pointed", one.dataset.passage === passageId);
}

/** One stop of the tab key; the arrow keys walk through the rest. */
function rove(event) {
  const buttons = [...event.currentTarget.querySelectorAll("button")];
  const now = buttons.indexOf(document.activeElement);
  const next = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: buttons.length - 1 }[event.key];
  if (next === undefined || !buttons[next]) return;
  event.preventDefault();
  for (const button of buttons) button.tabIndex = -1;
  buttons[next].tabIndex = 0;
  buttons[next].focus();
}
