/** The rows that the filters leave, fetched page by page as they come into view. */

import { getJson } from "./api.js";

const SIZE = 200;
const KEEP = 40;

/** Parameters that say which rows, and in which order. */
export function queryOf({ data, a, b }, filters, { sort, desc }) {
  const search = new URLSearchParams();
  for (const [key, value] of [["data", data], ["a", a], ["b", b], ...filters, ["sort", sort], ["desc", desc]]) {
    if (value !== null && value !== undefined && value !== "") search.append(key, value);
  }
  return search;
}

/**
 * A source of rows for one query. `arrived(source)` is called after each page, `failed(error)` when one cannot be had.
 * Pages that scrolled out of view before they came are called off.
 */
export class Rows {
  constructor(query, arrived, failed) {
    Object.assign(this, {
      query,
      arrived,
      failed,
      pages: new Map(),
      flights: new Map(),
      total: null,
      matched: null,
      empty: null,
    });
  }

  /** The row at a place, or null while it is on its way. */
  at(place) {
    return this.pages.get(Math.floor(place / SIZE))?.[place % SIZE] ?? null;
  }

  /** See to it that the rows from `first` to `last` come; in the midst of scrolling, those where it comes to rest. */
  want(first, last) {
    const now = performance.now();
    clearTimeout(this.timer);
    if (now - (this.asked ?? 0) > 120) this.#want(first, last);
    else this.timer = setTimeout(() => this.#want(first, last), 60);
    this.asked = now;
  }

  #want(first, last) {
    if (this.closed) return;
    const limit = this.matched === null ? 0 : Math.max(0, this.matched - 1);
    const from = Math.floor(Math.min(first, limit) / SIZE);
    const to = Math.floor(Math.min(last, limit) / SIZE);
    for (const [page, control] of this.flights) if (page < from || page > to) control.abort();
    for (let page = from; page <= to; page++) this.#fetch(page);
  }

  /** Call everything off. */
  close() {
    this.closed = true;
    clearTimeout(this.timer);
    for (const control of this.flights.values()) control.abort();
  }

  async #fetch(page) {
    if (this.flights.has(page) || this.closed) return;
    if (this.pages.has(page)) {
      this.#keep(page, this.pages.get(page));
      return;
    }
    const control = new AbortController();
    this.flights.set(page, control);
    const search = new URLSearchParams(this.query);
    search.set("offset", page * SIZE);
    search.set("limit", SIZE);
    try {
      this.#take(page, await getJson("/api/images", search, { signal: control.signal }));
    } catch (error) {
      if (error.name !== "AbortError" && !this.closed) this.failed(error);
    } finally {
      if (this.flights.get(page) === control) this.flights.delete(page);
    }
  }

  #take(page, { total, matched, rows, empty }) {
    if (this.closed) return;
    Object.assign(this, { total, matched, empty });
    this.#keep(page, rows);
    this.arrived(this);
  }

  #keep(page, rows) {
    this.pages.delete(page);
    this.pages.set(page, rows);
    if (this.pages.size > KEEP) this.pages.delete(this.pages.keys().next().value);
  }
}
