// A result on the page: answer and passages to the left, how they came about to the right.

import { $, h } from "./dom.js";
import { movementOf } from "./movement.js";
import { passagesOf } from "./passages.js";
import { reproduceOf } from "./reproduce.js";
import { degradedNotice, summaryOf } from "./summary.js";

/** `view` is the answer's; `nothing` makes what stands where nothing was found. */
export function showResult(page, found, { took, view, nothing }) {
  const main = h("div", { class: "main" }, degradedNotice(found), view?.element);
  if (found.hits.length) main.append(passagesOf(page, found));
  else if (nothing) main.append(nothing(page));
  const side = h("aside", { class: "side", "aria-label": "How it came about" });
  side.append(...[summaryOf(page, found, took), movementOf(found), reproduceOf(page.state)].filter(Boolean));
  $("results").replaceChildren(h("div", { class: "result" }, main, side));
}
