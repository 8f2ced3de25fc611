// The passages in final order: those kept in full, those that were read and not kept folded below the cut.

import { copyButton, h } from "./dom.js";
import { locate } from "./quotes.js";
import { marked, readable } from "./text.js";

const LONG = 700; // characters of a passage that is folded at first

/** `page` opens documents and adds filters. */
export function passagesOf(page, found) {
  const all = found.candidates?.length ? found.candidates : found.hits;
  const kept = new Set(found.hits.map((hit) => hit.passage_id));
  const cut = all.filter((hit) => !kept.has(hit.passage_id));
  const card = (hit) => passageCard(page, hit, []);
  return h(
    "section",
    { class: "passages", "aria-labelledby": "passages-title" },
    h(
      "h2",
      { id: "passages-title" },
      "Passages ",
      h("span", { class: "soft" }, `kept ${found.hits.length} of ${all.length}`),
    ),
    found.hits.map(card),
    cut.length > 0 && h("p", { class: "cut" }, h("span", {}, `Not kept: ${cut.length}`)),
    cut.map((hit) => folded(hit, card)),
  );
}

/** Marks what the answer quotes by now, and leaves all else as it is. */
export function markQuotes(page, found, citations) {
  for (const hit of found.hits) {
    const quotes = quotesIn(hit, citations);
    const place = document.getElementById(placeOf(hit.passage_id));
    if (place && place.dataset.quotes !== JSON.stringify(quotes)) place.replaceWith(passageCard(page, hit, quotes));
  }
}

export const placeOf = (passageId) => `passage-${passageId}`;

function quotesIn(hit, citations) {
  const own = citations.map(({ passage_id, quote }, n) => ({ passage_id, quote, number: n + 1 }));
  return own.filter((one) => one.passage_id === hit.passage_id);
}

function passageCard(page, hit, quotes) {
  const places = (text) =>
    quotes
      .map(({ quote, number }) => [...(locate(quote, text) ?? [0, 0]), number])
      .filter(([start, end]) => end > start);
  const text = h("div", { class: "text" }, readable(hit.text, places(hit.text)));
  const card = h(
    "article",
    {
      class: "passage",
      id: placeOf(hit.passage_id),
      tabindex: -1,
      "aria-label": `${hit.rank}. ${hit.title}`,
      "data-quotes": JSON.stringify(quotes),
    },
    h(
      "header",
      {},
      h("span", { class: "rank" }, String(hit.rank)),
      h("div", { class: "titles" }, titleOf(hit), crumb(hit, places(hit.breadcrumb))),
      scores(hit),
    ),
    text,
    h("footer", {}, metadata(page, hit), actions(page, hit)),
  );
  if (hit.text.length > LONG && !quotes.length) fold(card, text);
  return card;
}

const titleOf = (hit) => h("h3", {}, hit.title);

function crumb(hit, marks) {
  const text = hit.breadcrumb;
  if (!text || text === hit.title) return null;
  const start = text.startsWith(`${hit.title} > `) ? hit.title.length + 3 : 0;
  return h("p", { class: "crumb" }, marked(text, start, text.length, marks));
}

function scores(hit) {
  const moved = hit.first_stage_rank - hit.rank;
  const told = moved ? `${moved > 0 ? "up" : "down"} ${Math.abs(moved)} from ${hit.first_stage_rank}` : "stayed";
  return h(
    "dl",
    { class: "scores" },
    h(
      "div",
      {},
      h("dt", {}, "Rerank"),
      h("dd", { class: "strong" }, hit.rerank_score === null ? "not scored" : hit.rerank_score.toFixed(2)),
    ),
    h("div", {}, h("dt", {}, "First stage"), h("dd", {}, `${hit.first_stage_score.toFixed(3)}`)),
    h("div", {}, h("dt", {}, "Moved"), h("dd", { class: moved > 0 ? "up" : moved < 0 ? "down" : "" }, told)),
  );
}

/** What may be filtered; the document has the rest. */
function metadata(page, hit) {
  const fields = Object.keys(page.info?.filters ?? {}).filter(
    (field) => ![undefined, "", false].includes(hit.metadata[field]) && hit.metadata[field].length !== 0,
  );
  return h(
    "dl",
    { class: "metadata" },
    fields.map((field) => h("div", {}, h("dt", {}, field), h("dd", {}, valuesOf(page, field, hit.metadata[field])))),
  );
}

function valuesOf(page, field, value) {
  const items = Array.isArray(value) ? value : [value];
  if (page.info.filters[field] !== "keyword") return items.join(", ");
  return items.map((item) =>
    h(
      "button",
      {
        type: "button",
        class: "value-button",
        title: `Filter by ${field} = ${item}`,
        onclick: () => page.filterBy(field, String(item)),
      },
      String(item),
    ),
  );
}

function actions(page, hit) {
  return h(
    "div",
    { class: "row" },
    h("button", { type: "button", class: "quiet", onclick: () => page.openDocument(hit) }, "Whole document"),
    copyButton("Copy id", () => hit.passage_id),
  );
}

function fold(card, text) {
  text.classList.add("folded");
  const more = h(
    "button",
    { type: "button", class: "quiet more", "aria-expanded": "false", onclick: unfold },
    "Show all of it",
  );
  function unfold() {
    text.classList.remove("folded");
    more.remove();
  }
  text.after(more);
}

/** Its card is made when it is opened. */
function folded(hit, card) {
  const details = h("details", { class: "not-kept", id: placeOf(hit.passage_id), ontoggle: fill });
  const score = hit.rerank_score === null ? "not scored" : hit.rerank_score.toFixed(2);
  details.append(
    h(
      "summary",
      {},
      h("span", { class: "rank" }, String(hit.rank)),
      h("span", { class: "name" }, hit.breadcrumb || hit.title),
      h("span", { class: "number" }, score),
    ),
  );
  function fill() {
    if (details.open && details.childElementCount === 1) {
      const made = card(hit);
      made.removeAttribute("id");
      details.append(made);
    }
  }
  return details;
}

/** Scrolls to a passage, opens it, and marks the quote of that number. */
export function showPassage(passageId, number) {
  const place = document.getElementById(placeOf(passageId));
  if (!place) return;
  if (place.tagName === "DETAILS") place.open = true;
  for (const old of document.querySelectorAll("mark.current, .passage.current")) old.classList.remove("current");
  const quote = number && place.querySelector(`mark[data-quote="${number}"]`);
  for (const one of number ? place.querySelectorAll(`mark[data-quote="${number}"]`) : []) one.classList.add("current");
  place.classList.add("current");
  (place.tagName === "DETAILS" ? place.querySelector("summary") : place).focus({ preventScroll: true });
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  (quote || place).scrollIntoView({ block: quote ? "center" : "start", behavior: calm ? "auto" : "smooth" });
}
