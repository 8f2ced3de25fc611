// What stands where there are no results yet, or none.

import { h } from "./dom.js";

/** `page.tryQuestion(text)` asks one of the examples. */
export function invitation(page) {
  const { info } = page;
  if (!info.passages) {
    const command = `overfetch index ${info.name}`;
    return h(
      "section",
      { class: "empty" },
      h("h2", {}, "Nothing is indexed here yet"),
      h("p", {}, "Index this collection, then search it; this page needs no restart."),
      h("pre", { class: "code" }, command),
    );
  }
  const { top_k, top_n } = info.retrieval;
  const examples = info.examples.map((text) =>
    h("li", {}, h("button", { type: "button", class: "example", onclick: () => page.tryQuestion(text) }, text)),
  );
  return h(
    "section",
    { class: "empty" },
    h("h2", {}, `Search ${info.passages.toLocaleString("en")} passages`),
    h("p", {}, `${top_k} are retrieved and read together with the query; the best ${top_n} are kept.`),
    examples.length > 0 && h("p", { class: "soft" }, "For example"),
    examples.length > 0 && h("ul", { class: "examples" }, examples),
  );
}

export function nothingFound(page) {
  const { state } = page;
  const narrowed = state.where.length > 0 || state.as_of || state.near;
  const clear = () => {
    Object.assign(state, { where: [], as_of: undefined, near: undefined });
    page.changed();
  };
  const advice = narrowed ? "No passage meets the filters." : "Use other words, or another collection.";
  return h(
    "section",
    { class: "empty" },
    h("h2", {}, "Nothing was found"),
    h("p", {}, advice),
    narrowed && h("button", { type: "button", onclick: clear }, "Clear the filters"),
  );
}

export function noSites() {
  return h(
    "section",
    { class: "empty" },
    h("h2", {}, "No site is served to this key"),
    h("p", {}, "Start the service with a folder of documents or an installed site:"),
    h("pre", { class: "code" }, "overfetch serve FOLDER"),
  );
}
