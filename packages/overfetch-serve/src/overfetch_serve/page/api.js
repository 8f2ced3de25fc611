// Calls of the service, whose addresses are relative to the page: it may be mounted anywhere.

const KEY = "overfetch.key";

export const readKey = () => sessionStorage.getItem(KEY) ?? "";
export const keepKey = (key) => (key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY));

/** What went wrong: a problem of RFC 9457, or that nobody answered (status 0). */
export class Problem extends Error {
  constructor(fields) {
    super(fields.detail);
    Object.assign(this, fields);
  }
}

async function send(path, { body, signal, accept = "application/json" } = {}) {
  const headers = { Accept: accept };
  if (readKey()) headers.Authorization = `Bearer ${readKey()}`;
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method: body ? "POST" : "GET",
      headers,
      body: body && JSON.stringify(body),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      type: "Unreachable",
      title: "The service does not answer.",
      status: 0,
      detail: `${location.origin} was not reached.`,
    });
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response) {
  const told = await response.json().catch(() => ({}));
  const retry = Number(response.headers.get("Retry-After")) || null;
  return new Problem({
    type: told.type ?? "HTTPError",
    title: told.title ?? response.statusText,
    status: response.status,
    detail: told.detail ?? `${response.status} ${response.statusText}`,
    request_id: told.request_id ?? response.headers.get("X-Request-Id"),
    retry,
  });
}

export const get = async (path, options) => (await send(path, options)).json();
export const post = async (path, body, signal) => (await send(path, { body, signal })).json();

/** The answer as events (name, data); a service that answers at once gives one `answer`. */
export async function* ask(path, body, signal) {
  const response = await send(path, { body, signal, accept: "text/event-stream, application/json;q=0.9" });
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    yield ["answer", await response.json()];
    return;
  }
  let ended = false;
  for await (const [name, data] of events(response.body)) {
    ended ||= name === "answer" || name === "error";
    yield [name, data];
  }
  if (!ended)
    throw new Problem({
      type: "Cut",
      title: "The answer broke off.",
      status: 0,
      detail: "The connection ended before the answer was complete.",
    });
}

async function* events(body) {
  let rest = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
      const blocks = (rest + value).split(/\r\n\r\n|\n\n|\r\r/);
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parsed(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parsed(block) {
  let name = "message";
  const data = [];
  for (const line of block.split(/\r\n|\n|\r/)) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length ? [name, JSON.parse(data.join("\n"))] : null;
}
