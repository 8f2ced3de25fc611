// The same request elsewhere: in a shell and in Python.

import { readKey } from "./api.js";
import { copyButton, h } from "./dom.js";
import { OPTIONS, requestOf, routeOf } from "./state.js";

export function reproduceOf(state) {
  const forms = { curl: curl(state), Python: python(state) };
  const code = h("code", {}, forms.curl);
  const choose = (name) => () => (code.textContent = forms[name]);
  const choices = Object.keys(forms).map((name, n) =>
    h(
      "label",
      {},
      h("input", { type: "radio", name: "form", value: name, checked: n === 0, onchange: choose(name) }),
      h("span", {}, name),
    ),
  );
  return h(
    "section",
    { class: "card", "aria-labelledby": "reproduce-title" },
    h(
      "div",
      { class: "row" },
      h("h2", { id: "reproduce-title" }, "Reproduce"),
      h("fieldset", { class: "segments small" }, h("legend", { class: "hidden" }, "As"), choices),
      h("span", { class: "gap" }),
      copyButton("Copy", () => code.textContent),
      copyButton("Copy link", () => location.href),
    ),
    h("pre", { class: "code", tabindex: 0, "aria-label": "The request" }, code),
  );
}

export function curl(state) {
  const address = new URL(`${routeOf(state)}/${state.mode}`, location.href.split("#")[0]);
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const key = readKey() && '\n  -H "Authorization: Bearer $OVERFETCH_KEY" \\';
  return `curl ${quoted(address.href)} \\${key}\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(requestOf(state)))}`;
}

export function python(state) {
  const { where = [] } = state;
  const objects = where.some((one) => typeof one !== "string");
  const named = [];
  if (where.length) named.push(`where=[${where.map(condition).join(", ")}]`);
  for (const name of OPTIONS) if (state[name]) named.push(`${name}=${literal(state[name])}`);
  if (!state.rerank) named.push("rerank=False");
  if (state.literal) named.push("literal=True");
  const asks = state.mode === "ask";
  const given = asks
    ? [literal(state.query), `collection=${literal(state.collection)}`]
    : [literal(state.collection), literal(state.query)];
  const call = `site.${asks ? "ask" : "search"}(${[...given, ...named].join(", ")})`;
  const shown = asks
    ? ["    print(found.answer)"]
    : ["    for hit in found.hits:", "        print(hit.rank, hit.rerank_score, hit.passage.title)"];
  return [
    `from overfetch import ${objects ? "AnyOf, " : ""}open_site`,
    "",
    `with open_site(${literal(state.site)}) as site:`,
    `    found = ${call}`,
    ...shown,
  ].join("\n");
}

const literal = (value) => (typeof value === "number" ? String(value) : JSON.stringify(value)); // JSON's strings are Python's

function condition(given) {
  return typeof given === "string"
    ? literal(given)
    : `AnyOf(field=${literal(given.field)}, values=(${given.values.map((v) => `${literal(v)},`).join(" ")}))`;
}
