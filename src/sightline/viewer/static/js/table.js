/** The images as a table; only the rows in view are in the page. */

import { columns } from "./columns.js";
import { h, refill } from "./dom.js";
import { Scroller } from "./scroller.js";
import { link } from "./state.js";
import { assign, release, thumb } from "./thumbs.js";

const HIGH = 44;
const HEAD = 40;

/** Build the table into `root`; the arguments and what comes back are those of `gridView`. */
export function tableView(root, look, act) {
  return new Table(root, look, act);
}

class Table {
  constructor(root, look, act) {
    Object.assign(this, { look, act, shown: new Map(), spare: [] });
    this.steps = { ArrowUp: -1, ArrowDown: 1, k: -1, j: 1 };
    this.head = h("div", { class: "table-head", role: "row", "aria-rowindex": 1 });
    this.canvas = h("div", { class: "scroll-canvas", role: "presentation" });
    this.element = h("div", { class: "scroll-view table-view", role: "grid", "aria-label": "Images", "aria-readonly": "true" }, this.head, this.canvas);
    root.append(this.element);
    this.scroller = new Scroller(this.element, this.canvas, (...args) => this.#draw(...args));
    this.observer = new ResizeObserver(() => this.#lay());
    this.observer.observe(this.element);
    for (const kind of ["click", "dblclick", "focusin"]) this.element.addEventListener(kind, (event) => this.#hear(event));
    this.update();
  }

  update() {
    const state = this.look();
    const now = columns(state);
    const identity = JSON.stringify([now.map((each) => [each.sort, each.color]), state.sort, state.desc]);
    if (identity !== this.identity) this.#rule(now, state);
    this.identity = identity;
    this.#lay();
  }

  reveal(place, middle = false) {
    this.scroller.reveal(place, middle);
    const page = this.scroller.page();
    Object.assign(this.steps, { PageUp: -page, PageDown: page });
  }

  focus() {
    this.shown.get(this.look().active)?.focus({ preventScroll: true });
  }

  close() {
    this.observer.disconnect();
    this.scroller.close();
    for (const element of this.element.querySelectorAll(".thumb")) release(element);
    this.element.remove();
  }

  /** Draw the head anew; rows that stood under another head are of no use. */
  #rule(now, { sort, desc }) {
    this.columns = now;
    const widths = now.map((each) => `${each.width}px`);
    this.element.style.setProperty("--columns", `72px ${widths.join(" ")} minmax(120px, 1fr)`);
    this.element.style.setProperty("--total", `${now.reduce((sum, each) => sum + each.width, 192)}px`);
    const cells = now.map((each, at) => heading(each, at + 2, sort, desc));
    refill(this.head, h("div", { role: "columnheader", "aria-colindex": 1, class: "cell" }, h("span", { class: "visually-hidden" }, "Picture")), cells,
      h("div", { role: "columnheader", class: "cell", "aria-colindex": now.length + 2 }, "Flags"));
    this.element.setAttribute("aria-colcount", now.length + 2);
    for (const row of [...this.shown.values(), ...this.spare]) {
      release(row.firstChild.firstChild);
      row.remove();
    }
    this.shown.clear();
    this.spare = [];
  }

  #lay() {
    const { source } = this.look();
    const rows = source.matched ?? 30;
    this.element.setAttribute("aria-rowcount", source.matched === null ? -1 : rows + 1);
    this.element.setAttribute("aria-busy", String(source.matched === null));
    this.scroller.lay(rows, HIGH, HEAD);
  }

  #draw(first, last, y) {
    const { source } = this.look();
    if (source.matched !== 0) source.want(first, last);
    for (const [place, row] of this.shown) if (place < first || place > last) this.#put(place, row);
    for (let place = first; place <= last; place++) this.#row(place, y(place));
    const active = this.shown.get(this.look().active);
    for (const row of this.shown.values()) row.tabIndex = row === active ? 0 : -1;
    this.element.tabIndex = active ? -1 : 0;
  }

  #put(place, row) {
    if (row.contains(document.activeElement)) this.element.focus({ preventScroll: true });
    this.shown.delete(place);
    row.hidden = true;
    release(row.firstChild.firstChild);
    this.spare.push(row);
  }

  #row(place, y) {
    const element = this.shown.get(place) ?? this.spare.pop() ?? this.#newRow();
    this.shown.set(place, element);
    const { source, active, layer, data, a } = this.look();
    const row = source.at(place);
    element.hidden = false;
    element.dataset.place = place;
    element.style.transform = `translateY(${y}px)`;
    element.setAttribute("aria-rowindex", place + 2);
    element.setAttribute("aria-selected", String(place === active));
    element.classList.toggle("waiting", !row);
    if (row) assign(element.firstChild.firstChild, { id: row.id, name: row.File_Name, data, a, layer });
    else release(element.firstChild.firstChild);
    this.#cells(element, row);
  }

  #cells(element, row) {
    this.columns.forEach((column, at) => {
      const cell = element.children[at + 1];
      const value = row ? column.read(row) : "";
      const holder = column.file ? cell.firstChild : cell;
      if (holder.textContent !== value) holder.textContent = value;
      if (column.file && row) holder.href = link({ page: "image", image: row.File_Name });
    });
    const flags = row?.flags?.map((each) => `⚑ ${each.flag}`).join(", ") ?? "";
    if (element.lastChild.textContent !== flags) element.lastChild.textContent = flags;
  }

  #newRow() {
    const cells = this.columns.map((column, at) => h("div", { role: "gridcell", class: `cell${column.numeric ? " number" : ""}${column.file ? " sticky" : ""}`, "aria-colindex": at + 2 }, column.file ? h("a", { class: "file", tabindex: -1 }) : null));
    const row = h("div", { class: "table-row", role: "row", tabindex: -1 }, h("div", { role: "gridcell", class: "cell", "aria-colindex": 1 }, thumb()), cells, h("div", { role: "gridcell", class: "cell flags" }));
    this.canvas.append(row);
    return row;
  }

  #hear(event) {
    const row = event.target.closest?.(".table-row");
    if (!row) return;
    const place = Number(row.dataset.place);
    if (!this.look().source.at(place)) return;
    if (event.type === "dblclick") this.act.open(place);
    else if (!event.target.closest("a")) this.act.select(place, event.type === "click");
  }
}

/** A heading is a link: it sorts upwards first, then downwards, then not at all. */
function heading(column, index, sort, desc) {
  const here = column.sort === sort;
  const next = !here ? { sort: column.sort, desc: null } : desc ? { sort: null, desc: null } : { sort, desc: 1 };
  const arrow = here ? h("span", { "aria-hidden": "true" }, desc ? " ↓" : " ↑") : null;
  const dot = column.color ? h("span", { class: "dot", style: { background: column.color } }) : null;
  return h("div", { role: "columnheader", class: `cell${column.numeric ? " number" : ""}${column.file ? " sticky" : ""}`, "aria-colindex": index, "aria-sort": here ? (desc ? "descending" : "ascending") : "none" },
    h("a", { href: link(next), title: `Sort by ${column.sort}` }, dot, h("span", { class: "name" }, column.title), column.group ? h("span", { class: "muted" }, ` ${column.group}`) : null, arrow));
}
