/** Thumbnails: those on screen are asked for in one request, kept for a while, and painted in the browser. */

import { getBytes } from "./api.js";
import { h } from "./dom.js";
import { drop, hide, load, show } from "./paint.js";

const KEEP = 800;
const MOST = 100;
const entries = new Map();
const users = new Map();
const flights = new Set();
let waiting = new Map();
let timer = null;
let first = null;

/** An element that shows the thumbnail of a row: {id, name, data, a, layer}; layer target|prediction|error|none. */
export function thumb(what) {
  const element = h(
    "div",
    { class: "thumb" },
    h("img", { alt: "", draggable: "false", decoding: "async" }),
    h("canvas", { "aria-hidden": "true", width: 1, height: 1 }),
    h("p", { class: "why" }),
  );
  if (what) assign(element, what);
  return element;
}

/** Let the element show another row, or the same one with another layer. */
export function assign(element, { id, name = "", data, a = null, layer = "target" }) {
  const key = `${data}|${a ?? ""}|${id}`;
  const before = users.get(element);
  if (before?.key === key && before.layer === layer) return;
  if (before && before.key !== key) release(element);
  users.set(element, { key, layer });
  const entry = entries.get(key) ?? begin({ key, id, data, a });
  entry.users.add(element);
  touch(key, entry);
  element.firstChild.alt = name;
  display(element, entry, layer);
}

/** Let go of what the element shows, when it leaves the page or before it shows something else. */
export function release(element) {
  const used = users.get(element);
  if (!used) return;
  users.delete(element);
  hide(element.children[1]);
  const entry = entries.get(used.key);
  entry?.users.delete(element);
  if (entry?.state === "loading" && !entry.users.size) forsake(entry);
}

function begin({ key, id, data, a }) {
  const entry = { key, id, data, a, state: "loading", users: new Set() };
  entries.set(key, entry);
  waiting.set(key, entry);
  clearTimeout(timer);
  first ??= performance.now();
  timer = setTimeout(flush, performance.now() - first > 120 ? 0 : 25);
  return entry;
}

/** No one waits for this one any more; a request that no one waits for is called off. */
function forsake(entry) {
  entries.delete(entry.key);
  waiting.delete(entry.key);
  for (const flight of flights) {
    if (flight.entries.every((each) => !each.users.size)) flight.control.abort();
  }
}

/** One request per dataset and run for everything that was asked for since the last one. */
function flush() {
  first = null;
  const groups = Map.groupBy ? Map.groupBy(waiting.values(), from) : grouped(waiting.values());
  waiting = new Map();
  for (const group of groups.values()) {
    for (let at = 0; at < group.length; at += MOST) fetchBatch(group.slice(at, at + MOST));
  }
}

const from = (entry) => `${entry.data}|${entry.a ?? ""}`;

function grouped(some) {
  const groups = new Map();
  for (const entry of some) groups.set(from(entry), [...(groups.get(from(entry)) ?? []), entry]);
  return groups;
}

async function fetchBatch(batch) {
  const flight = { entries: batch, control: new AbortController() };
  flights.add(flight);
  const { data, a } = batch[0];
  try {
    const rows = batch.map((entry) => entry.id).join(",");
    const packed = await getBytes("/api/thumbs", { data, a, rows }, { signal: flight.control.signal });
    unpack(packed, new Map(batch.map((entry) => [entry.id, entry])));
  } catch (error) {
    if (error.name !== "AbortError") for (const entry of batch) fail(entry, error.message);
  }
  flights.delete(flight);
}

/** uint32 (little endian) length of the header, header (JSON), bytes; offsets count from the header's end. */
function unpack(packed, byId) {
  const size = new DataView(packed).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(packed, 4, size)));
  const cut = (span) => (span ? packed.slice(4 + size + span[0], 4 + size + span[0] + span[1]) : null);
  for (const each of header) {
    const entry = byId.get(each.id);
    if (!entry) continue;
    byId.delete(each.id);
    take(entry, {
      image: cut(each.image),
      target: cut(each.mask),
      prediction: cut(each.prediction),
      error: each.error,
    });
  }
  for (const entry of byId.values()) fail(entry, "The server sent no thumbnail for this image.");
}

function take(entry, { image, target, prediction, error }) {
  if (entries.get(entry.key) !== entry) return;
  if (!image) {
    fail(entry, error ?? "There is no thumbnail of this image.");
    return;
  }
  const layers = Object.fromEntries(Object.entries({ target, prediction }).filter(([, bytes]) => bytes));
  Object.assign(entry, {
    state: "ready",
    url: URL.createObjectURL(new Blob([image], { type: "image/jpeg" })),
    has: Object.keys(layers),
    note: error,
  });
  if (entry.has.length) load(entry.key, layers).catch((problem) => note(entry, problem.message));
  tell(entry);
  evict();
}

function fail(entry, reason) {
  Object.assign(entry, { state: "error", reason });
  tell(entry);
}

function note(entry, text) {
  entry.note = text;
  tell(entry);
}

function tell(entry) {
  for (const element of entry.users) display(element, entry, users.get(element).layer);
}

function display(element, entry, layer) {
  const [image, canvas, why] = element.children;
  element.dataset.state = entry.state;
  if (entry.state === "ready" && image.getAttribute("src") !== entry.url) image.src = entry.url;
  if (entry.state !== "ready") image.removeAttribute("src");
  why.textContent = entry.reason ?? entry.note ?? lacking(entry, layer);
  if (entry.state === "ready") show(canvas, entry.key, layer, { outline: true });
  else hide(canvas);
}

function lacking(entry, layer) {
  if (entry.state !== "ready" || layer === "none") return "";
  if (layer !== "prediction" && !entry.has.includes("target")) return "no mask";
  if (layer !== "target" && !entry.has.includes("prediction")) return entry.a ? "not predicted by run A" : "no run A";
  return "";
}

function touch(key, entry) {
  entries.delete(key);
  entries.set(key, entry);
}

/** The least recently used go first; what is on the page stays. */
function evict() {
  const gone = [];
  for (const [key, entry] of entries) {
    if (entries.size <= KEEP) break;
    if (entry.users.size || entry.state === "loading") continue;
    entries.delete(key);
    if (entry.url) URL.revokeObjectURL(entry.url);
    gone.push(key);
  }
  if (gone.length) drop(gone);
}
