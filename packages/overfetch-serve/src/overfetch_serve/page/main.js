// The page: what is asked, from form and address to result and back.

import { ask, get, keepKey, post, Problem, readKey } from "./api.js";
import { AnswerView } from "./answer.js";
import { openDocument } from "./document.js";
import { $, placePanels, tell } from "./dom.js";
import { invitation, noSites, nothingFound } from "./empty.js";
import { addValue, preparePanel, showFilters } from "./filters.js";
import { prepareOptions, showOptions } from "./options.js";
import { markQuotes } from "./passages.js";
import { problemCard } from "./problems.js";
import { showResult } from "./results.js";
import { readAddress, requestOf, routeOf, writeAddress } from "./state.js";

const page = {
  state: readAddress(location.hash),
  info: null,
  sites: [],
  /** A setting changed: search again, where there is a query, without a step in the history. */
  changed() {
    page.state.query = $("query").value;
    showForm();
    keepAddress("replaceState");
    if (page.state.query) run();
    else showInvitation();
  },
  filterBy: (field, value) => addValue(page, field, value),
  openDocument: (hit) => openDocument(page.state, hit),
  switchLiteral(on) {
    page.state.literal = on;
    page.changed();
  },
  tryQuestion(text) {
    page.state.query = text;
    showQuery();
    submit();
  },
};
let running = null;

async function start() {
  showForm();
  showQuery();
  try {
    page.sites = await get("v1/sites");
  } catch (problem) {
    return showProblem(problem, start);
  }
  if (!page.sites.length) return $("results").replaceChildren(noSites());
  showTargets();
  return arrive();
}

/** At the address: chooses its collection, and runs what it asks. */
async function arrive() {
  const { state } = page;
  const site = page.sites.find((one) => one.name === state.site) ?? page.sites[0];
  if (site.name !== state.site || !site.collections.includes(state.collection)) {
    Object.assign(state, { site: site.name, collection: site.ask });
    keepAddress("replaceState");
  }
  if (!(await loadInfo())) return;
  showForm();
  if (state.query) await run();
  else showInvitation();
}

async function loadInfo() {
  const wanted = routeOf(page.state);
  try {
    const info = await get(wanted);
    if (wanted !== routeOf(page.state)) return false;
    page.info = info;
  } catch (problem) {
    page.info = null;
    showProblem(problem, arrive);
    return false;
  }
  return true;
}

function showTargets() {
  const options = page.sites.map((site) => {
    const group = document.createElement("optgroup");
    group.label = site.title;
    for (const name of site.collections) group.append(new Option(`${site.name} / ${name}`, `${site.name}/${name}`));
    return group;
  });
  $("target").replaceChildren(...options);
  $("target").disabled = false;
}

function showForm() {
  const { state, info } = page;
  $("target").value = `${state.site}/${state.collection}`;
  $("query").placeholder = state.mode === "ask" ? "Ask a question" : "Search";
  $("submit").textContent = state.mode === "ask" ? "Ask" : "Search";
  for (const radio of document.getElementsByName("mode")) radio.checked = radio.value === state.mode;
  $("rerank").checked = state.rerank;
  $("literal").checked = state.literal;
  $("facts").textContent = info?.passages
    ? `${info.passages.toLocaleString("en")} passages · indexed ${info.provenance?.created?.slice(0, 10) ?? ""}`
    : "";
  document.title = state.query ? `${state.query.slice(0, 60)} · Overfetch` : "Overfetch";
  showFilters(page);
  showOptions(page);
}

/** Where it comes from elsewhere: what is being typed is left alone. */
function showQuery() {
  $("query").value = page.state.query;
}

function showInvitation() {
  stop();
  $("results").replaceChildren(...(page.info ? [invitation(page)] : []));
}

function keepAddress(how) {
  const address = writeAddress(page.state);
  if (address !== location.hash) history[how](null, "", address);
}

function submit() {
  showForm();
  keepAddress("pushState");
  if (page.state.query.trim()) run();
}

function stop() {
  running?.abort();
  running = null;
  showBusy(false);
}

function showBusy(busy) {
  $("results").setAttribute("aria-busy", String(busy));
  document.body.classList.toggle("busy", busy);
  $("stop").hidden = !busy;
  $("submit").hidden = busy;
}

async function run() {
  stop();
  const mine = (running = new AbortController());
  showBusy(true);
  try {
    await (page.state.mode === "ask" ? runAsk : runSearch)(mine.signal);
  } catch (error) {
    if (mine === running) showProblem(error, run);
  } finally {
    if (mine === running) stop();
  }
}

async function runSearch(signal) {
  const began = performance.now();
  const found = await post(
    `${routeOf(page.state)}/search`,
    { ...requestOf(page.state), include_candidates: true },
    signal,
  );
  showResult(page, found, { took: performance.now() - began, nothing: nothingFound });
  tell(`${found.hits.length} passages kept, reranking: ${found.rerank_status}`);
}

async function runAsk(signal) {
  const began = performance.now();
  const view = new AnswerView();
  const took = () => performance.now() - began;
  const body = { ...requestOf(page.state), include_candidates: true };
  let shown = null;
  const on = {
    retrieval: (found) => {
      shown = found;
      showResult(page, found, { took: took(), view });
    },
    delta: ({ text }) => view.add(text),
    citation: (citation) => {
      view.cite(citation);
      markQuotes(page, shown, view.citations);
    },
    replace: ({ text }) => {
      view.replace(text);
      markQuotes(page, shown, []);
    },
    error: (problem) => {
      throw new Problem(problem);
    },
    answer: (found) => {
      view.finish(found);
      if (!shown) showResult(page, found, { took: took(), view });
      markQuotes(page, found, found.citations);
      tell("The answer is complete.");
    },
  };
  try {
    for await (const [name, data] of ask(`${routeOf(page.state)}/ask`, body, signal)) on[name]?.(data);
  } finally {
    view.breakOff();
  }
}

/** Beside what is there already of an answer that broke off. */
function showProblem(problem, again) {
  if (!(problem instanceof Problem))
    problem = new Problem({ type: problem.name, title: "The page failed.", status: 0, detail: problem.message });
  const card = problemCard(problem, again);
  for (const old of document.querySelectorAll(".problem")) old.remove();
  if (document.querySelector(".answer.broken .answer-text > p")) $("results").prepend(card);
  else $("results").replaceChildren(card);
}

function listen() {
  $("asking").addEventListener("submit", (event) => {
    event.preventDefault();
    page.state.query = $("query").value;
    submit();
  });
  $("asking").addEventListener("change", ({ target }) => {
    if (target.name === "mode") page.state.mode = target.value;
    if (target.name === "mode") showForm(); // a language model is asked by the button only
    if (target.id !== "rerank" && target.id !== "literal") return;
    page.state[target.id] = target.checked;
    page.changed();
  });
  $("query").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $("asking").requestSubmit();
  });
  $("target").addEventListener("change", () => {
    const [site, collection] = $("target").value.split("/");
    const { mode, rerank, literal } = page.state; // filters and settings are a collection's own
    page.state = { site, collection, query: $("query").value, mode, rerank, literal, where: [] };
    keepAddress("pushState");
    arrive();
  });
  $("stop").addEventListener("click", stop);
  $("skip").addEventListener("click", () => $("results").focus());
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    keepKey($("key-field").value.trim());
    $("key-panel").hidePopover();
    start();
  });
  $("theme").addEventListener("change", () => setTheme($("theme").value));
  addEventListener("popstate", () => {
    page.state = readAddress(location.hash);
    showQuery();
    arrive();
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && running && !document.querySelector(":popover-open, dialog[open]")) stop();
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.matches("input, textarea, select")) return;
    event.preventDefault();
    $("query").select();
  });
}

function setTheme(theme) {
  if (theme) localStorage.setItem("overfetch.theme", theme);
  else localStorage.removeItem("overfetch.theme");
  document.documentElement.dataset.theme = theme;
}

$("theme").value = localStorage.getItem("overfetch.theme") ?? "";
$("key-field").value = readKey();
$("key").hidden = !readKey();
placePanels();
preparePanel(page);
prepareOptions(page);
listen();
$("query").focus();
start();
