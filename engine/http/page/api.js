// The daemon's vocabulary over HTTP: looks by GET /api/show/…, orders by POST /api/command with the session's token.

export class Refused extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

// No daemon answered at all.
export class Unreached extends Error {}

const patience_ms = 10_000;
const too_much = [429, 503];  // of requests, of this browser or of all: it was not carried out
const pause_ms = 1000;
const pauses_max = 20;

export const session = { user: null, csrf: null, read: true, version: "", node: "" };
const watchers = new Set();
export const on_session = (watcher) => watchers.add(watcher);

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(patience_ms) });
  } catch {
    throw new Unreached("pfsyncd does not answer: it is being restarted, or the network between is down");
  }
  let answer;
  try {
    answer = await response.json();
  } catch {
    throw new Refused(`the daemon answered with status ${response.status} and nothing that can be read`, response.status);
  }
  if (answer.ok === true) return answer;
  throw new Refused(typeof answer.error === "string" ? answer.error : `the daemon refused with status ${response.status}`, response.status);
}

// One step of many: what refuses it for the moment does not end the walk.
export async function patiently(step, is_over, pausing) {
  for (let pauses = 0; ; ++pauses) {
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof Refused) || !too_much.includes(error.status) || pauses === pauses_max || is_over()) throw error;
      pausing(error);
      await new Promise((resolve) => setTimeout(resolve, pause_ms));
    }
  }
}

export function show(what, query) {
  const words = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) if (value !== null && value !== undefined && value !== "") words.set(key, value);
  const rest = words.toString();
  return call(`/api/show/${encodeURIComponent(what)}${rest ? `?${rest}` : ""}`);
}

function post(path, body, headers) {
  return call(path, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body) });
}

export async function refresh_session() {
  const answer = await call("/api/session");
  for (const key of Object.keys(session)) session[key] = answer[key] ?? null;
  for (const watcher of watchers) watcher();
}

export async function login(user, password) {
  await post("/api/login", { user, password });
  await refresh_session();
}

export async function logout() {
  await post("/api/logout", {}, { "X-CSRF-Token": session.csrf ?? "" });
  await refresh_session();
}

export const order = (request) => post("/api/command", request, { "X-CSRF-Token": session.csrf ?? "" });
