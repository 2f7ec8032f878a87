/** The images as tiles; only the rows in view are in the page. */

import { h } from "./dom.js";
import { count, iou, number } from "./format.js";
import { Scroller } from "./scroller.js";
import { link } from "./state.js";
import { assign, release, thumb } from "./thumbs.js";
import { worth } from "./columns.js";

const GAP = 12;
const LEAST = { s: 130, m: 196, l: 320 };
const CAPTION = 42;

/**
 * Build the grid into `root`. `look()` → {source, active, layer, sort, data, a}; `act` {select(place), open(place),
 * flag(place)}. Returns {element, update(), reveal(place, middle), focus(), steps, close()}.
 */
export function gridView(root, look, act) {
  const view = new Grid(root, look, act);
  return view;
}

class Grid {
  constructor(root, look, act) {
    Object.assign(this, { look, act, shown: new Map(), spare: [], columns: 0 });
    this.canvas = h("div", { class: "scroll-canvas", role: "presentation" });
    this.element = h("div", { class: "scroll-view grid-view", role: "grid", "aria-label": "Images", "aria-readonly": "true" }, this.canvas);
    root.append(this.element);
    this.scroller = new Scroller(this.element, this.canvas, (...args) => this.#draw(...args));
    this.observer = new ResizeObserver(() => this.#lay());
    this.observer.observe(this.element);
    for (const kind of ["click", "dblclick", "focusin"]) this.element.addEventListener(kind, (event) => this.#hear(event));
    this.#lay();
  }

  /** How far a key moves, in places. */
  get steps() {
    const page = this.scroller.page() * this.columns;
    return { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns, PageUp: -page, PageDown: page, j: 1, k: -1 };
  }

  /** Rows, their order, the layer or the active place changed. */
  update() {
    this.#lay();
  }

  reveal(place, middle = false) {
    if (this.columns) this.scroller.reveal(Math.floor(place / this.columns), middle);
  }

  focus() {
    this.#cell(this.look().active)?.focus({ preventScroll: true });
  }

  close() {
    this.observer.disconnect();
    this.scroller.close();
    for (const element of this.element.querySelectorAll(".thumb")) release(element);
    this.element.remove();
  }

  #lay() {
    const { source, size } = this.look();
    const wide = this.element.clientWidth - 2 * GAP;
    if (wide <= 0) return;
    const least = LEAST[size ?? "m"] * (wide < 480 ? 0.77 : 1);
    const columns = Math.max(1, Math.floor((wide + GAP) / (least + GAP)));
    this.wide = Math.floor((wide - (columns - 1) * GAP) / columns);
    this.high = Math.round(this.wide * this.#aspect(source)) + CAPTION;
    if (columns !== this.columns) this.#forget();
    this.columns = columns;
    const rows = Math.ceil((source.matched ?? 60) / columns);
    this.element.setAttribute("aria-rowcount", source.matched === null ? -1 : rows);
    this.element.setAttribute("aria-colcount", columns);
    this.element.setAttribute("aria-busy", String(source.matched === null));
    this.element.style.setProperty("--thumb-height", `${this.high - CAPTION}px`);
    this.scroller.lay(rows, this.high + GAP);
  }

  /** Tiles have the shape of the first image; others are shown whole within it. */
  #aspect(source) {
    const first = source.at(0);
    if (first?.Width && first.Height) this.shape = Math.min(1.2, Math.max(0.4, first.Height / first.Width));
    return this.shape ?? 0.5625;
  }

  #forget() {
    for (const row of [...this.shown.values(), ...this.spare]) {
      for (const tile of row.children) release(tile.firstChild);
      row.remove();
    }
    this.shown.clear();
    this.spare = [];
  }

  #draw(first, last, y) {
    const { source } = this.look();
    if (source.matched !== 0) source.want(first * this.columns, (last + 1) * this.columns - 1);
    for (const [index, row] of this.shown) if (index < first || index > last) this.#put(index, row);
    for (let index = first; index <= last; index++) this.#row(index, y(index));
    this.#stops();
  }

  #put(index, row) {
    if (row.contains(document.activeElement)) this.element.focus({ preventScroll: true });
    this.shown.delete(index);
    row.hidden = true;
    for (const tile of row.children) release(tile.firstChild);
    this.spare.push(row);
  }

  #row(index, y) {
    const row = this.shown.get(index) ?? this.spare.pop() ?? this.#newRow();
    this.shown.set(index, row);
    row.hidden = false;
    row.style.transform = `translateY(${y + GAP}px)`;
    row.setAttribute("aria-rowindex", index + 1);
    [...row.children].forEach((tile, column) => this.#tile(tile, index * this.columns + column));
  }

  #newRow() {
    const tiles = Array.from({ length: this.columns }, (_, column) => newTile(column));
    const row = h("div", { class: "grid-row", role: "row", style: { "grid-template-columns": `repeat(${this.columns}, minmax(0, 1fr))` } }, tiles);
    this.canvas.append(row);
    return row;
  }

  #tile(tile, place) {
    const { source, active, layer, sort, data, a } = this.look();
    tile.hidden = place >= (source.matched ?? 60);
    tile.dataset.place = place;
    tile.setAttribute("aria-selected", String(place === active));
    const row = source.at(place);
    tile.classList.toggle("waiting", !row);
    if (!row) {
      release(tile.firstChild);
      caption(tile, null);
      return;
    }
    assign(tile.firstChild, { id: row.id, name: row.File_Name, data, a, layer });
    caption(tile, row, sort);
    tile.setAttribute("aria-label", `${row.File_Name}, ${number(place + 1)} of ${number(source.matched)}, mIoU ${iou(row.miou)}`);
  }

  /** Only the active tile is a stop of the Tab key; the grid itself where that tile is out of view. */
  #stops() {
    const active = this.#cell(this.look().active);
    for (const cell of this.element.querySelectorAll('[role="gridcell"][tabindex="0"]')) if (cell !== active) cell.tabIndex = -1;
    if (active) active.tabIndex = 0;
    this.element.tabIndex = active ? -1 : 0;
  }

  #cell(place) {
    return this.shown.get(Math.floor(place / this.columns))?.children[place % this.columns] ?? null;
  }

  #hear(event) {
    const tile = event.target.closest?.(".tile");
    if (!tile) return;
    const place = Number(tile.dataset.place);
    if (!this.look().source.at(place)) return;
    if (event.type === "dblclick") this.act.open(place);
    else if (event.target.closest(".flag-button") && event.type === "click") this.act.flag(place);
    else if (!event.target.closest("a")) this.act.select(place, event.type === "click");
  }
}

function newTile(column) {
  const flag = h("button", { class: "flag-button", type: "button", tabindex: -1, title: "Flag this image (f)", "aria-label": "Flag this image" }, "⚑");
  return h("div", { class: "tile", role: "gridcell", tabindex: -1, "aria-colindex": column + 1 }, thumb(),
    h("div", { class: "caption" }, h("a", { class: "file", tabindex: -1 }), h("span", { class: "number value" })),
    h("div", { class: "caption under" }, h("span", { class: "where" }), h("span", { class: "flags" })), flag);
}

function caption(tile, row, sort) {
  const [file, value] = tile.children[1].children;
  const [where, flags] = tile.children[2].children;
  file.textContent = row?.File_Name ?? "";
  file.title = row?.File_Name ?? "";
  if (row) file.href = link({ page: "image", image: row.File_Name });
  else file.removeAttribute("href");
  value.textContent = row ? worth(row, sort) : "";
  where.textContent = row ? [row.Split && row.Split !== "None" ? row.Split : null, row.Drive ?? row.Group].filter((part) => part !== null && part !== undefined && part !== "").join(" · ") : "";
  flags.textContent = row?.flags?.length ? row.flags.map((each) => `⚑ ${each.flag}`).join(", ") : "";
  flags.title = row?.flags?.length ? count(row.flags.length, "flag") : "";
}
