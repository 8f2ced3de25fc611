// What went wrong, and what to do about it.

import { $, h, tell } from "./dom.js";
import { sentence } from "./summary.js";

const ADVICE = {
  0: "Is the service running, and is this machine connected?",
  401: "Give an API key that this service knows; its operator makes one by `overfetch keys add`.",
  403: "Ask for a key that has the scope, or do what this one may.",
  408: "The service waited too long for the request: try again.",
  409: "Something else is being written: try again in a moment.",
  413: "Shorten the query, or take filters away.",
  422: "Change what is named above, and try again.",
  429: "The service is busy.",
  500: "This is a fault of the service: tell its operator, with the request's id.",
  503: "A part of the service is not there right now: try again.",
  504: "Give the request more time under Options, or try again.",
};
const ADVICE_BY_TYPE = {
  CollectionMissing: "Index it first, by the command above; this page needs no restart.",
  Cut: "What is shown was checked, but more was to come: try again.",
};
const AGAIN = new Set([0, 408, 409, 429, 500, 503, 504]);

export function problemCard(problem, again) {
  const advice = ADVICE_BY_TYPE[problem.type] ?? ADVICE[problem.status];
  const id = problem.request_id && h("p", { class: "mono soft" }, `Request ${problem.request_id}`);
  if (problem.status === 401) $("key").hidden = false;
  tell(`${problem.title} ${problem.detail}`);
  return h(
    "section",
    { class: "notice bad problem", role: "alert" },
    h(
      "p",
      { class: "notice-title" },
      problem.title,
      " ",
      h("span", { class: "mono soft" }, problem.status ? `${problem.status} ${problem.type}` : problem.type),
    ),
    h("p", { class: "detail" }, sentence(problem.detail)),
    advice && h("p", {}, advice),
    id,
    h(
      "div",
      { class: "row" },
      AGAIN.has(problem.status) && againButton(problem, again),
      problem.status === 401 && keyButton(),
    ),
  );
}

function againButton(problem, again) {
  const button = h("button", { type: "button", onclick: again }, "Try again");
  if (problem.retry) waitFor(button, problem.retry);
  return button;
}

/** Until the service said that it may be asked again. */
function waitFor(button, seconds) {
  button.disabled = seconds > 0;
  button.textContent = seconds > 0 ? `Try again in ${seconds} s` : "Try again";
  if (seconds > 0) setTimeout(() => waitFor(button, seconds - 1), 1000);
}

function keyButton() {
  return h(
    "button",
    { type: "button", class: "primary", onclick: () => $("key-panel").showPopover() },
    "Enter an API key",
  );
}
