/** Asking the server. Everything that goes wrong is an ApiError whose text says what to do. */

export class ApiError extends Error {
  constructor(message, { status = 0, command = null, detail = null } = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.command = command;
    this.detail = detail;
  }
}

/** `path` with a query string: `params` is an object (arrays repeat, null is left out) or URLSearchParams. */
export function url(path, params = {}) {
  const search = params instanceof URLSearchParams ? params : new URLSearchParams();
  if (search !== params) {
    for (const [key, value] of Object.entries(params)) {
      for (const each of [value].flat()) if (each !== null && each !== undefined) search.append(key, each);
    }
  }
  const query = search.toString();
  return query ? `${path}?${query}` : path;
}

/** The JSON that the server answers with. An aborted request throws the browser's AbortError. */
export async function getJson(path, params, { signal } = {}) {
  return (await answer(url(path, params), { signal })).json();
}

/** The bytes that the server answers with. */
export async function getBytes(path, params, { signal } = {}) {
  return (await answer(url(path, params), { signal })).arrayBuffer();
}

/** Ask for a change; the header keeps forms of other sites out. */
export async function postJson(path, body) {
  const headers = { "Content-Type": "application/json", "X-Sightline": "1" };
  return (await answer(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

async function answer(address, options) {
  let response;
  try {
    response = await fetch(address, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The viewer's server does not answer. Is `sightline ui` still running?");
  }
  if (!response.ok) throw await failure(response);
  return response;
}

async function failure(response) {
  const body = await response.json().catch(() => ({}));
  const message = body.error ?? `The server answered with ${response.status} ${response.statusText}.`;
  return new ApiError(message, { status: response.status, command: body.command ?? null, detail: body });
}
