// How a result came about: reranking, time, what was understood, and what served it.

import { h } from "./dom.js";

const STATUS = {
  full: ["Reranked", "good"],
  listwise: ["Ordered by a language model", "good"],
  fallback: ["Reranked without the language model", "warn"],
  partial: ["Reranked in part", "warn"],
  skipped: ["Not reranked", "warn"],
  failed: ["Reranking failed", "bad"],
  off: ["Reranking is off", "plain"],
};
const DEGRADED = {
  fallback: "The order is the reranker's.",
  partial: "The passages that were not read keep the first stage's order, below those that were.",
  skipped: "The order is the first stage's.",
  failed: "The order is the first stage's.",
};
const STAGES = ["embed", "search", "rerank"];

/** A notice above the passages where the result is not what it should be; null where it is. */
export function degradedNotice(found) {
  if (!(found.rerank_status in DEGRADED) || !found.hits.length) return null;
  const [title, tone] = STATUS[found.rerank_status];
  return notice(tone, title, `${sentence(found.rerank_reason ?? "")} ${DEGRADED[found.rerank_status]}`);
}

export function notice(tone, title, text, ...more) {
  return h(
    "div",
    { class: `notice ${tone}` },
    h("p", { class: "notice-title" }, title),
    text && h("p", {}, text.trim()),
    more,
  );
}

export function sentence(text) {
  const trimmed = text.trim();
  return trimmed && `${trimmed[0].toUpperCase()}${trimmed.slice(1)}${/[.!?]$/.test(trimmed) ? "" : "."}`;
}

export function statusOf(found) {
  const [text, tone] = STATUS[found.rerank_status] ?? [found.rerank_status, "plain"];
  return h("span", { class: `status ${tone}`, "data-status": found.rerank_status }, text);
}

/** `page` can switch `literal`; `took` is the whole request in milliseconds. */
export function summaryOf(page, found, took) {
  return h(
    "section",
    { class: "card", "aria-labelledby": "summary-title" },
    h("h2", { id: "summary-title" }, "How it was found"),
    h(
      "dl",
      { class: "facts-list" },
      row("Reranking", statusOf(found), reranking(found)),
      row("Cut", cutOf(found, page.info?.retrieval.one_per_document)),
      row("Understood", ...understood(page, found)),
    ),
    timeOf(found.timings_ms, took),
    servedBy(found.provenance),
  );
}

const row = (name, ...values) => h("div", {}, h("dt", {}, name), h("dd", {}, values));

function reranking(found) {
  const reason = found.rerank_reason && h("span", { class: "soft" }, sentence(found.rerank_reason));
  return found.rerank_status === "full" ? null : reason;
}

function cutOf(found, oneEach) {
  const all = found.candidates?.length ?? found.hits.length;
  const kept = `${found.hits.length} of ${all} kept${oneEach ? ", one a document" : ""}`;
  const tokens = found.truncated_tokens;
  if (tokens === null) return `${kept}; the model's server does not say whether it cut any.`;
  return tokens ? `${kept}; ${tokens} tokens were beyond what the model reads.` : `${kept}; none was cut short.`;
}

function understood(page, found) {
  const read = found.understood;
  if (!read)
    return [page.state.literal ? "Searched for as it is written." : "As it is written: nothing was read into it."];
  const plain = read.text === found.query && !read.conditions.length && !read.notes.length && !read.missing.length;
  const literally = h(
    "button",
    { type: "button", class: "quiet small", onclick: () => page.switchLiteral(true) },
    "Search as written",
  );
  return [
    plain && h("p", {}, "Read by the collection's own rules, which narrowed nothing."),
    read.text !== found.query && h("p", {}, "Searched for ", h("q", {}, read.text)),
    read.conditions.length > 0 &&
      h(
        "p",
        { class: read.given_up ? "struck" : "" },
        read.conditions.map((one) => h("code", {}, one)),
      ),
    read.given_up && h("p", {}, "Nothing met these conditions: searched without them."),
    read.notes.map((note) => h("p", {}, sentence(note))),
    read.missing.map((missing) => h("p", { class: "warned" }, "Not in this collection: ", missing)),
    literally,
  ];
}

function timeOf(timings, took) {
  const total = Math.max(timings.total, 0.01);
  const parts = STAGES.map((stage) => {
    const part = h("span", { class: `part ${stage}` });
    part.style.flexGrow = String(timings[stage] / total);
    return part;
  });
  const legend = STAGES.map((stage) =>
    h("li", { class: stage }, h("span", {}, stage), h("span", { class: "number" }, milliseconds(timings[stage]))),
  );
  const whole = h("li", {}, h("span", {}, "total"), h("span", { class: "number" }, milliseconds(timings.total)));
  const there = took && h("li", {}, h("span", {}, "with HTTP"), h("span", { class: "number" }, milliseconds(took)));
  return h(
    "div",
    { class: "times" },
    h("div", { class: "time-bar", "aria-hidden": "true" }, parts),
    h("ul", { "aria-label": "Milliseconds by stage" }, legend, whole, there),
  );
}

export const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

function servedBy(provenance) {
  const rows = Object.entries(provenance).map(([name, value]) =>
    h("div", {}, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, value)),
  );
  return h("details", { class: "served" }, h("summary", {}, "Served by"), h("dl", { class: "facts-list mono" }, rows));
}
