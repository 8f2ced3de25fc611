// The answer, as it comes: sentences that the guard has checked, citations that jump to their quote.

import { h } from "./dom.js";
import { showPassage } from "./passages.js";
import { notice, sentence } from "./summary.js";
import { inline } from "./text.js";

const MARKER = /\[(\d+|unverified)\]/g;

/** Shows text in pieces, takes it back, and ends with the whole document. */
export class AnswerView {
  #body = h("div", { class: "answer-text" });
  #foot = h("div", { class: "answer-foot" });
  #text = "";
  citations = [];

  constructor() {
    this.element = h(
      "section",
      { class: "answer", "aria-labelledby": "answer-title" },
      h("h2", { id: "answer-title" }, "Answer"),
      this.#body,
      this.#foot,
    );
    this.#body.append(h("p", { class: "soft waiting" }, "Reading the passages…"));
  }

  add(text) {
    this.#text += text;
    this.#draw();
  }

  replace(text) {
    this.#text = text;
    this.citations = [];
    this.#draw();
  }

  cite(citation) {
    this.citations[citation.number - 1] = citation;
    this.#draw();
  }

  /** What is there stays, marked as unfinished. */
  breakOff() {
    this.element.classList.add("broken");
    this.#body.querySelector(".waiting")?.remove();
  }

  finish(found) {
    this.#text = found.answer;
    this.citations = found.citations;
    this.#draw();
    this.#foot.replaceChildren(...[how(found), sources(found), refused(found)].flat().filter(Boolean));
    this.element.classList.add("done");
  }

  #draw() {
    const paragraphs = this.#text.split(/\n{2,}/).filter((one) => one.trim());
    this.#body.replaceChildren(...paragraphs.map((one) => h("p", {}, this.#cited(one))));
  }

  #cited(text) {
    const found = [];
    let at = 0;
    for (const marker of text.matchAll(MARKER)) {
      found.push(
        ...inline(text, at, marker.index),
        marker[1] === "unverified" ? unverified() : citeButton(Number(marker[1]), this.citations),
      );
      at = marker.index + marker[0].length;
    }
    return [...found, ...inline(text, at, text.length)];
  }
}

const unverified = () => h("span", { class: "unverified", title: "The citation here did not hold." }, "unverified");

function citeButton(number, citations) {
  const citation = citations[number - 1];
  const jump = () => citation && showPassage(citation.passage_id, number);
  return h(
    "button",
    {
      type: "button",
      class: "cite",
      "aria-label": `Citation ${number}: show the quote`,
      title: citation?.quote,
      onclick: jump,
    },
    String(number),
  );
}

function how(found) {
  if (found.mode === "extractive")
    return notice(
      "warn",
      "Quoted, not written",
      `Sentences of the passages, word for word. ${sentence(found.reason ?? "")}`,
    );
  const share =
    found.coverage === null
      ? ""
      : ` ${Math.round(found.coverage * 100)}% of its sentences carry a citation that holds.`;
  const checked = h(
    "p",
    { class: "soft how" },
    `Written by a language model, its citations checked word for word.${share}`,
  );
  return [checked, found.reason && notice("warn", "Note", sentence(found.reason))];
}

function sources(found) {
  const titles = new Map(
    [...found.hits, ...(found.candidates ?? [])].map((hit) => [hit.passage_id, hit.breadcrumb || hit.title]),
  );
  const row = (one, n) =>
    h(
      "li",
      {},
      h(
        "button",
        { type: "button", class: "source", onclick: () => showPassage(one.passage_id, n + 1) },
        h("span", { class: "cite" }, String(n + 1)),
        h(
          "span",
          { class: "source-words" },
          h("span", { class: "source-title" }, titles.get(one.passage_id) ?? one.document_id),
          h("span", { class: "soft" }, one.quote),
        ),
      ),
    );
  return (
    found.citations.length > 0 && h("ol", { class: "sources", "aria-label": "Citations" }, found.citations.map(row))
  );
}

function refused(found) {
  if (!found.refused.length) return null;
  const rows = found.refused.map((one) => h("li", {}, h("q", {}, one.citation.quote), " ", sentence(one.reason)));
  return h(
    "details",
    { class: "refused" },
    h("summary", {}, `${found.refused.length} refused: what did not hold`),
    h("ul", {}, rows),
  );
}
