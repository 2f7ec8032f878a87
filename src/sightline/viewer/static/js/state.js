/** The state of the viewer is the query string: a link shows the next person the same thing. */

export const filterKeys = ["has", "lacks", "split", "group", "share", "bright", "iou", "name", "flag", "where", "cell"];

/** Another choice or order of images makes the place in it (`at`) void. */
export const orderKeys = [...filterKeys, "sort", "desc", "data"];

/** What says only how classes are painted: a change of it asks the server nothing and builds no page anew. */
export const paintKeys = ["off", "alpha", "colors"];

/** What goes along from one page to another; every other parameter belongs to its page. */
const lasting = new Set([
  "page",
  "data",
  "a",
  "b",
  ...paintKeys,
  ...filterKeys,
  "sort",
  "desc",
  "view",
  "layer",
  "size",
]);

const listeners = new Set();
let current = new URLSearchParams(location.search);

/** The value of a parameter, or null. */
export const param = (key) => current.get(key);

/** All values of a parameter that may stand more than once. */
export const params = (key) => current.getAll(key);

/** The page shown. */
export const page = () => current.get("page") ?? "overview";

/** The current parameters, as a copy. */
export const all = () => new URLSearchParams(current);

/** The address of the current state with `patch` {key: value | [values] | null} applied: for a real `<a href>`. */
export function link(patch) {
  return `/?${text(changed(patch))}`;
}

/** Go there. `replace`: without a step in the history. Listeners are told which keys changed. */
export function set(patch, { replace = false } = {}) {
  go(changed(patch), replace);
}

/** Follow an address of this app, such as one that `link` gave. */
export function follow(href, { replace = false } = {}) {
  go(new URL(href, location.href).searchParams, replace);
}

/** Return to where one came from; to `patch` where this page was the first. */
export function back(patch) {
  if (history.state?.depth) history.back();
  else set(patch);
}

/** `fn(keys)` is called after each change with the set of parameters that differ. Returns what ends it. */
export function onChange(fn) {
  listeners.add(fn);
  return () => listeners.delete(fn);
}

/** Names → one value, whatever characters they hold. */
export const joinNames = (names) => names.map(guarded).join(",");

/** The names of such a value. */
export const splitNames = (value) => (value ? value.split(",").map(unguarded) : []);

/** A name inside a value with parts: `%`, `,` and `:` are percent-encoded. */
export const guarded = (name) => name.replace(/[%,:]/g, encodeURIComponent);

/** The reverse of `guarded`; a stray `%` stays what it is. */
export function unguarded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The filters that are set, as [key, value] pairs in a fixed order. */
export function filters() {
  return filterKeys.flatMap((key) =>
    params(key)
      .filter(Boolean)
      .map((value) => [key, value]),
  );
}

/** Parameters as a query string that people can read: commas and colons stay. */
export function text(search) {
  return search.toString().replace(/%2C/g, ",").replace(/%3A/g, ":").replace(/%2F/g, "/");
}

function changed(patch) {
  const moves = "page" in patch && (patch.page ?? "overview") !== page();
  const next = new URLSearchParams();
  for (const [key, value] of current) if (!moves || lasting.has(key)) next.append(key, value);
  if (Object.keys(patch).some((key) => orderKeys.includes(key))) next.delete("at");
  for (const [key, value] of Object.entries(patch)) {
    next.delete(key);
    for (const each of [value].flat()) if (each !== null && each !== undefined && each !== "") next.append(key, each);
  }
  return next;
}

let late = null;

function go(next, replace) {
  if (text(next) === text(current)) return;
  if (replace) {
    late ??= setTimeout(write, 120); // browsers refuse many of these in a row, as a moving slider would make
  } else {
    write();
    history.pushState({ depth: (history.state?.depth ?? 0) + 1 }, "", `/?${text(next)}`);
  }
  arrive(next);
}

/** Write into the address bar what was replaced and not yet written. */
function write() {
  if (late === null) return;
  clearTimeout(late);
  late = null;
  history.replaceState(history.state, "", `/?${text(current)}`);
}

function arrive(next) {
  const before = current;
  current = next;
  const keys = new Set([...before.keys(), ...next.keys()]);
  const differ = [...keys].filter((key) => before.getAll(key).join("\n") !== next.getAll(key).join("\n"));
  if (differ.length) for (const fn of [...listeners]) fn(new Set(differ));
}

addEventListener("popstate", () => {
  clearTimeout(late);
  late = null;
  arrive(new URLSearchParams(location.search));
});
addEventListener("pagehide", write);

/** The link of this app that an event is about, brought up to date: classes may have been painted anew since it was made. */
function linkOf(event) {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || anchor.target || anchor.hasAttribute("download")) return null;
  const url = new URL(anchor.href);
  if (url.origin !== location.origin || url.pathname !== "/" || url.hash) return null;
  for (const key of paintKeys) {
    if (current.has(key)) url.searchParams.set(key, current.get(key));
    else url.searchParams.delete(key);
  }
  anchor.href = `/?${text(url.searchParams)}`;
  return anchor;
}

for (const kind of ["pointerdown", "focusin", "dragstart"]) addEventListener(kind, linkOf, true);

addEventListener("click", (event) => {
  const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  const anchor = linkOf(event);
  if (!anchor || !plain || event.defaultPrevented) return;
  event.preventDefault();
  follow(anchor.href, { replace: anchor.dataset.replace !== undefined });
});
