// Speaks to the node's HTTP API and its event stream. Knows no view.

/** What the node refused: `message` for people, `hint` what to do next. */
export class ApiError extends Error {
  constructor(status, { kind = "failed", message = "", hint = null, id = null } = {}) {
    super(message);
    Object.assign(this, { status, kind, hint, id });
  }
}

async function request(method, path, body, type) {
  const init = { method, headers: {}, cache: "no-store" };
  if (type) {
    init.headers["Content-Type"] = type;
    init.body = body;
  } else if (body !== undefined) {
    init.headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new ApiError(0, { kind: "offline" });
  }
  const text = await response.text();
  let value = null;
  try {
    value = text ? JSON.parse(text) : null;
  } catch {
    value = null;
  }
  if (!response.ok) {
    if (response.status === 401) unauthorized();
    throw new ApiError(response.status, value?.error);
  }
  return value;
}

let unauthorized = () => {};
/** Calls `then` whenever the node asks for a login. */
export function onUnauthorized(then) {
  unauthorized = then;
}

const root = "/api/v1";
export const get = (path) => request("GET", root + path);
export const post = (path, body) => request("POST", root + path, body);
export const put = (path, body) => request("PUT", root + path, body);
export const patch = (path, body) => request("PATCH", root + path, body);
export const remove = (path) => request("DELETE", root + path);
export const upload = (path, bytes, type) => request("POST", root + path, bytes, type);

/** `a=1&b=2` of what is neither null nor empty. */
export function query(values) {
  const pairs = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return pairs.length ? "?" + new URLSearchParams(pairs) : "";
}

/**
 * Follows the node's events; `handlers` by event name, `state` hears "open", "lost" when the browser tries again by
 * itself, and "refused" when it does not: the node answered otherwise, perhaps because it wants a login.
 */
export function follow(handlers, state) {
  const source = new EventSource(root + "/events");
  for (const [name, handler] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handler(JSON.parse(event.data)));
  }
  source.onopen = () => state("open");
  source.onerror = () => state(source.readyState === EventSource.CLOSED ? "refused" : "lost");
  return () => source.close();
}

/**
 * Reads an answer of server-sent events to its end; `heard(event, data)` hears each. `signal` stops it.
 */
export async function read(path, heard, signal) {
  let response;
  try {
    response = await fetch(root + path, { headers: { Accept: "text/event-stream" }, cache: "no-store", signal });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiError(0, { kind: "offline" });
  }
  if (!response.ok) {
    if (response.status === 401) unauthorized();
    throw new ApiError(response.status, (await response.json().catch(() => null))?.error);
  }
  const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await text.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const name = event.match(/^event: (.*)$/m)?.[1];
      const data = event.match(/^data: (.*)$/m)?.[1];
      if (name && data) heard(name, JSON.parse(data));
    }
  }
}
