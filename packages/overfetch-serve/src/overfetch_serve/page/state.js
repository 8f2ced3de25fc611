// What is asked, kept in the address after `#`, which browsers keep to themselves: no server's log holds a query.

const PLAIN = ["as_of", "near", "first_stage"];
const NUMBERS = ["top_k", "top_n", "deadline_ms"];
export const OPTIONS = [...NUMBERS, ...PLAIN];

export const empty = () => ({
  site: "",
  collection: "",
  mode: "search",
  query: "",
  where: [],
  rerank: true,
  literal: false,
});

export function readAddress(hash) {
  const [path, given = ""] = hash.replace(/^#\/?/, "").split("?");
  const [site = "", collection = ""] = path.split("/").map(decodeURIComponent);
  const search = new URLSearchParams(given);
  const state = {
    ...empty(),
    site,
    collection,
    query: search.get("q") ?? "",
    where: search.getAll("where").map(readCondition),
  };
  state.mode = search.get("mode") === "ask" ? "ask" : "search";
  state.rerank = search.get("rerank") !== "off";
  state.literal = search.get("literal") === "on";
  for (const name of PLAIN) if (search.get(name)) state[name] = search.get(name);
  for (const name of NUMBERS) if (Number(search.get(name)) > 0) state[name] = Number(search.get(name));
  return state;
}

export function writeAddress(state) {
  const search = new URLSearchParams();
  if (state.query) search.set("q", state.query);
  if (state.mode === "ask") search.set("mode", "ask");
  for (const condition of state.where) search.append("where", writeCondition(condition));
  if (!state.rerank) search.set("rerank", "off");
  if (state.literal) search.set("literal", "on");
  for (const name of OPTIONS) if (state[name]) search.set(name, state[name]);
  const path = [state.site, state.collection].map(encodeURIComponent).join("/");
  return `#/${path}${search.size ? `?${search}` : ""}`;
}

const writeCondition = (condition) => (typeof condition === "string" ? condition : JSON.stringify(condition));

function readCondition(text) {
  try {
    return text.startsWith("{") ? JSON.parse(text) : text;
  } catch {
    return text;
  }
}

/** What is sent, but for what only this page wants to see. */
export function requestOf(state) {
  const request = { [state.mode === "ask" ? "question" : "query"]: state.query };
  if (state.where.length) request.where = state.where;
  for (const name of OPTIONS) if (state[name]) request[name] = state[name];
  if (!state.rerank) request.rerank = false;
  if (state.literal) request.literal = true;
  return request;
}

export const routeOf = (state) => `v1/${encodeURIComponent(state.site)}/${encodeURIComponent(state.collection)}`;
