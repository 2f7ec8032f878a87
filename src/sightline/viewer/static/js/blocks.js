/** The building blocks of a page of text and numbers: sections, tiles, bars, tables, lists, times. */
import { h } from "./dom.js";
import { tint } from "./tint.js";

/** What a page shows, under its name for those who hear it. */
export function pageBody(title, ...children) {
  return h("div", { class: "page-body" }, h("h1", { class: "visually-hidden" }, title), ...children);
}

/** A part of a page under its own heading. */
export function section(title, ...children) {
  return h("section", { class: "part" }, h("h2", {}, title), ...children);
}

/** Numbers in a row, each with its name: `[name, value, detail]`. */
export function tiles(entries) {
  return h("dl", { class: "tiles" }, entries.filter(Boolean).map(([name, value, detail]) =>
    h("div", { class: "panel" }, h("dt", {}, name), h("dd", {}, value),
      detail ? h("dd", { class: "detail muted" }, detail) : null)));
}

/** A bar of a share of 0 to 1, in the colour of a class where one is told; for the eye, its number stands beside it. */
export function bar(share, index) {
  const filled = h("span", { class: "bar-filled" });
  filled.style.width = `${Math.min(100, Math.max(0, 100 * (share ?? 0)))}%`;
  if (index !== undefined) tint(filled, index);
  return h("span", { class: "bar", "aria-hidden": "true" }, filled);
}

/** A square in the colour of the class with this index. */
export const swatch = (index) => tint(h("span", { class: "dot", "aria-hidden": "true" }), index);

/** A table in a box that scrolls sideways. `columns`: names, a name that begins with `#` is of numbers. */
export function table(caption, columns, rows) {
  const numeric = columns.map((name) => name.startsWith("#"));
  const head = columns.map((name, place) =>
    h("th", { scope: "col", class: numeric[place] ? "number" : "" }, name.replace(/^#/, "")));
  const cell = (value, place) => (place === 0
    ? h("th", { scope: "row" }, value) : h("td", { class: numeric[place] ? "number" : "" }, value));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", { class: "table" }, h("caption", { class: "visually-hidden" }, caption),
      h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell))))));
}

/** What is shown on demand. */
export const folded = (words, ...children) => h("details", {}, h("summary", {}, words), ...children);

/** A list that shows its first few entries and the others on demand. */
export function list(entries, { most = 8, kind = "" } = {}) {
  const items = (some) => some.map((entry) => h("li", {}, entry));
  const shown = h("ul", { class: `lines ${kind}` }, items(entries.slice(0, most)));
  if (entries.length <= most) return shown;
  return h("div", {}, shown,
    folded(`${entries.length - most} more`, h("ul", { class: `lines ${kind}` }, items(entries.slice(most)))));
}

/** A time of ISO 8601 as the reader's own, with how long ago it was. */
export function moment(iso) {
  const when = new Date(iso);
  if (!iso || Number.isNaN(when.getTime())) return null;
  const told = when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  return h("time", { datetime: when.toISOString(), title: told }, ago((Date.now() - when) / 1000) ?? told);
}

function ago(seconds) {
  if (seconds < 90) return "just now";
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  if (seconds < 30 * 86400) return `${Math.round(seconds / 86400)} days ago`;
  return null;
}

/** A length of time in words: 0.4 s, 38 s, 3 min 20 s, 2 h 5 min. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return null;
  if (seconds < 10) return `${seconds.toFixed(1)}\u00a0s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}\u00a0s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}\u00a0min ${whole % 60}\u00a0s`;
  return `${Math.floor(whole / 3600)}\u00a0h ${Math.floor((whole % 3600) / 60)}\u00a0min`;
}
