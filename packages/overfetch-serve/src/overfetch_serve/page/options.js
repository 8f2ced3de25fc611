// What one request may set in place of the collection's own settings.

import { $, h } from "./dom.js";

const NUMBERS = [
  ["top_k", "Retrieve (top_k)"],
  ["top_n", "Keep (top_n)"],
  ["deadline_ms", "Deadline in ms"],
];
const STAGES = [
  ["", "As the collection has it"],
  ["hybrid", "Hybrid"],
  ["dense", "Dense only"],
  ["bm25", "BM25 only"],
];

export function prepareOptions(page) {
  $("options").addEventListener("click", () => $("options-panel").replaceChildren(form(page)));
}

export function showOptions(page) {
  const set = ["top_k", "top_n", "deadline_ms", "first_stage"].filter((name) => page.state[name]);
  $("options").textContent = set.length ? `Options (${set.length})` : "Options";
}

function form(page) {
  const { state, info } = page;
  const numbers = NUMBERS.map(([name, label]) => {
    const usual = info?.retrieval?.[name] ?? (name === "deadline_ms" ? "service" : "");
    const input = h("input", {
      type: "number",
      min: name === "deadline_ms" ? 0 : 1,
      step: name === "deadline_ms" ? "any" : 1,
      id: `option-${name}`,
      value: state[name] ?? "",
      placeholder: usual,
    });
    return [input, h("div", { class: "labelled" }, h("label", { for: input.id }, label), input)];
  });
  const stage = h(
    "select",
    { id: "option-stage" },
    STAGES.map(([value, label]) => h("option", { value }, label)),
  );
  stage.value = state.first_stage ?? "";
  const apply = (event) => {
    event.preventDefault();
    NUMBERS.forEach(([name], n) => (state[name] = Number(numbers[n][0].value) || undefined));
    state.first_stage = stage.value || undefined;
    $("options-panel").hidePopover();
    page.changed();
  };
  const reset = () => {
    for (const [input] of numbers) input.value = "";
    stage.value = "";
  };
  return h(
    "form",
    { class: "editor", onsubmit: apply },
    numbers.map(([, labelled]) => labelled),
    h("div", { class: "labelled" }, h("label", { for: "option-stage" }, "First stage"), stage),
    h(
      "div",
      { class: "row end" },
      h("button", { type: "button", class: "quiet", onclick: reset }, "Reset"),
      h("button", { type: "submit", class: "primary" }, "Apply"),
    ),
  );
}
