// The filters of a collection: chips that say what holds, and a panel that changes it, by the kind of the field.

import { get } from "./api.js";
import * as conditions from "./conditions.js";
import { $, h } from "./dom.js";
import { routeOf } from "./state.js";

const DATES = { as_of: "What was known by", near: "What happened near" }; // beside the fields: options of the request

/** `page` has the `state`, the chosen collection's `info`, and `changed()` to search again. */
export function showFilters(page) {
  const fields = kindsOf(page.info);
  const own = conditions
    .fieldsOf(page.state.where)
    .map((field) => chip(page, field, conditions.worded(page.state.where, field, fields[field])));
  const dates = Object.keys(DATES)
    .filter((name) => page.state[name])
    .map((name) => chip(page, name, page.state[name]));
  $("filters").replaceChildren(...own, ...dates);
  $("add-filter").disabled = !Object.keys(fields).length;
}

function kindsOf(info) {
  if (!info) return {};
  return { ...info.filters, ...(info.known_at && { as_of: "day" }), ...(info.date && { near: "day" }) };
}

function chip(page, field, worded) {
  const edit = h("button", {
    type: "button",
    class: "chip-edit",
    "aria-label": `Change the filter ${field}: ${worded}`,
    onclick: () => open(page, field, edit),
  });
  edit.append(h("span", { class: "chip-field" }, field), h("span", {}, worded));
  const remove = h(
    "button",
    {
      type: "button",
      class: "chip-remove",
      "aria-label": `Remove the filter ${field}`,
      onclick: () => set(page, field, []),
    },
    "×",
  );
  return h("li", { class: "chip" }, edit, remove);
}

export function preparePanel(page) {
  const panel = $("filter-panel");
  $("add-filter").addEventListener("click", () => {
    panel.opener = $("add-filter");
    panel.replaceChildren(...fieldList(page));
  });
}

function open(page, field, button) {
  const panel = $("filter-panel");
  panel.opener = button;
  panel.replaceChildren(editor(page, field));
  panel.showPopover({ source: button });
}

function fieldList(page) {
  const rows = Object.entries(kindsOf(page.info)).map(([field, kind]) => {
    const choose = () => {
      $("filter-panel").replaceChildren(editor(page, field));
      $("filter-panel").querySelector("input")?.focus();
    };
    return h(
      "li",
      {},
      h(
        "button",
        { type: "button", class: "field", onclick: choose },
        h("span", {}, DATES[field] ?? field),
        h("span", { class: "kind" }, kind === "day" ? field : kind),
      ),
    );
  });
  return [h("ul", { class: "fields", "aria-label": "Fields to filter by" }, rows)];
}

/** Filters one keyword field by a value that a passage shows. */
export function addValue(page, field, value) {
  const values = conditions.valuesOf(page.state.where, field);
  set(page, field, conditions.ofValues(field, [...new Set([...values, value])]));
}

function set(page, field, found) {
  if (field in DATES) page.state[field] = found[0];
  else page.state.where = [...conditions.without(page.state.where, field), ...found];
  $("filter-panel").hidePopover();
  page.changed();
}

function editor(page, field) {
  const kind = kindsOf(page.info)[field] ?? "keyword";
  const make = { keyword: keywordEditor, date: rangeEditor, number: rangeEditor, text: textEditor, day: dayEditor }[
    kind
  ];
  const { fields, read } = make(page, field, kind);
  const apply = (event) => {
    event.preventDefault();
    set(page, field, read());
  };
  const clear = h("button", { type: "button", class: "quiet", onclick: () => set(page, field, []) }, "Clear");
  const buttons = h("div", { class: "row end" }, clear, h("button", { type: "submit", class: "primary" }, "Apply"));
  return h(
    "form",
    { class: "editor", onsubmit: apply },
    h("p", { class: "editor-title" }, DATES[field] ?? field),
    fields,
    buttons,
  );
}

function keywordEditor(page, field) {
  const chosen = new Map(conditions.valuesOf(page.state.where, field).map((value) => [value, null]));
  const list = h("ul", { class: "values", "aria-label": `Values of ${field}` });
  const search = h("input", {
    type: "search",
    placeholder: "Find or type a value",
    "aria-label": `Find a value of ${field}`,
  });
  const hint = h("p", { class: "hint" }, "Counting…");
  const picked = new Set(chosen.keys());
  let counted = [];
  const draw = () => {
    const wanted = search.value.trim().toLowerCase();
    const known = new Map([...chosen, ...counted.map((one) => [one.value, one.passages])]);
    const shown = [...known].filter(([value]) => value.toLowerCase().includes(wanted));
    const typed = search.value.trim();
    if (typed && !known.has(typed)) shown.push([typed, null]);
    list.replaceChildren(...shown.map(([value, passages]) => choice(value, passages, picked)));
  };
  search.addEventListener("input", draw);
  draw();
  get(`${routeOf(page.state)}/values/${encodeURIComponent(field)}`).then(
    (found) => {
      counted = found.values;
      hint.textContent = found.more
        ? `The ${counted.length} commonest; type any other.`
        : counted.length
          ? ""
          : "Nothing indexed has a value; type one.";
      draw();
    },
    (problem) => (hint.textContent = problem.detail),
  );
  return { fields: [search, list, hint], read: () => conditions.ofValues(field, [...picked]) };
}

function choice(value, passages, picked) {
  const box = h("input", {
    type: "checkbox",
    value,
    onchange: () => (box.checked ? picked.add(value) : picked.delete(value)),
  });
  box.checked = picked.has(value);
  return h(
    "li",
    {},
    h(
      "label",
      { class: "choice" },
      box,
      h("span", { class: "value" }, value),
      h("span", { class: "count" }, passages ?? ""),
    ),
  );
}

function rangeEditor(page, field, kind) {
  const now = conditions.rangeOf(page.state.where, field);
  const [from, to] = ["from", "to"].map((end) =>
    h("input", {
      type: kind,
      step: kind === "number" ? "any" : null,
      value: now[end].slice(0, kind === "date" ? 10 : undefined),
      id: `range-${end}`,
    }),
  );
  const labels = kind === "date" ? ["From (inclusive)", "To (inclusive)"] : ["At least", "At most"];
  const fields = [from, to].map((input, n) =>
    h("div", { class: "labelled" }, h("label", { for: input.id }, labels[n]), input),
  );
  return { fields, read: () => conditions.ofRange(field, from.value, to.value) };
}

function textEditor(page, field) {
  const now = conditions.valuesOf(page.state.where, field).join(" ");
  const words = h("input", {
    type: "text",
    value: now,
    "aria-label": `Words in ${field}`,
    placeholder: "Every word occurs",
  });
  return { fields: [words], read: () => conditions.ofWords(field, words.value) };
}

function dayEditor(page, field) {
  const day = h("input", { type: "date", value: page.state[field] ?? "", "aria-label": DATES[field] });
  return { fields: [day], read: () => [day.value].filter(Boolean) };
}
