// A whole document in a dialog, its passages in order.

import { get } from "./api.js";
import { $, h } from "./dom.js";
import { problemCard } from "./problems.js";
import { routeOf } from "./state.js";
import { readable } from "./text.js";

export async function openDocument(state, hit) {
  const dialog = $("document");
  const close = h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Close");
  const body = h("div", { class: "document-body", tabindex: 0 }, h("p", { class: "soft" }, "Loading…"));
  const told = Object.entries(hit.metadata).map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, [value].flat().join(", "))),
  );
  const metadata = h(
    "details",
    {},
    h("summary", { class: "soft" }, "Metadata"),
    h("dl", { class: "facts-list" }, told),
  );
  dialog.replaceChildren(
    h("header", { class: "row" }, h("h2", { id: "document-title" }, hit.title), h("span", { class: "gap" }), close),
    h("p", { class: "mono soft" }, hit.document_id),
    metadata,
    body,
  );
  dialog.showModal();
  const path = hit.document_id.split("/").map(encodeURIComponent).join("/");
  try {
    const passages = await get(`${routeOf(state)}/documents/${path}`);
    body.replaceChildren(...passages.map((passage) => section(passage, hit)));
    body.querySelector(".found")?.scrollIntoView({ block: "center" });
  } catch (problem) {
    body.replaceChildren(problemCard(problem, () => openDocument(state, hit)));
  }
}

function section(passage, hit) {
  const found = passage.id === hit.passage_id;
  return h(
    "section",
    { class: found ? "found" : "" },
    h("p", { class: "crumb" }, passage.breadcrumb || passage.title),
    h("div", { class: "text" }, readable(passage.text)),
  );
}
