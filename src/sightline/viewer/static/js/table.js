/** The images as a table. */

import { columns } from "./columns.js";
import { h, refill } from "./dom.js";
import { ListView } from "./list-view.js";
import { link } from "./state.js";
import { assign, release, thumb } from "./thumbs.js";

const HIGH = 44;
const HEAD = 40;
const PICTURE = 72;
const FLAGS = 120;
const SKELETONS = 30;

/** Build the table into `root`; see ListView. */
export const tableView = (root, look, act) => new Table(root, look, act);

class Table extends ListView {
  constructor(root, look, act) {
    const head = h("div", { class: "table-head", role: "row", "aria-rowindex": 1 });
    super(root, look, act, "table-view", head);
    this.head = head;
    this.update();
  }

  /** How far a key moves, in places. */
  get steps() {
    const page = this.scroller.page();
    return { ArrowUp: -1, ArrowDown: 1, k: -1, j: 1, PageUp: -page, PageDown: page };
  }

  update() {
    const state = this.look();
    const now = columns(state);
    const identity = JSON.stringify([now.map((each) => [each.sort, each.color]), state.sort, state.desc]);
    if (identity !== this.identity) this.#rule(now, state);
    this.identity = identity;
    this.lay();
  }

  lay() {
    if (this.columns) this.stand(this.look().source.matched ?? SKELETONS, this.columns.length + 2, HIGH, HEAD);
  }

  build() {
    const kinds = ["cell", ...this.columns.map(kindOf), "cell flags"];
    const cells = kinds.map((kind, at) => h("div", { role: "gridcell", class: kind, "aria-colindex": at + 1 }));
    cells[0].append(thumb());
    this.columns.forEach((column, at) => column.file && cells[at + 1].append(h("a", { class: "file", tabindex: -1 })));
    return h("div", { class: "table-row", role: "row", tabindex: -1, dataset: { place: 0 } }, cells);
  }

  fill(element, place) {
    const { source, active, layer, data, a } = this.look();
    const row = source.at(place);
    const picture = element.firstChild.firstChild;
    element.dataset.place = place;
    element.setAttribute("aria-rowindex", place + 2);
    element.setAttribute("aria-selected", String(place === active));
    element.classList.toggle("waiting", !row);
    if (row) assign(picture, { id: row.id, name: row.File_Name, data, a, layer });
    else release(picture);
    this.columns.forEach((column, at) =>
      write(element.children[at + 1], row ? column.read(row) : "", column.file && row),
    );
    write(element.lastChild, row?.flags?.map((each) => `⚑ ${each.flag}`).join(", ") ?? "");
  }

  cell(place) {
    return this.shown.get(place) ?? null;
  }

  /** Draw the head anew; rows that stood under another head are of no use. */
  #rule(now, { sort, desc }) {
    this.columns = now;
    const widths = now.map((each) => `${each.width}px`).join(" ");
    const total = now.reduce((sum, each) => sum + each.width, PICTURE + FLAGS);
    this.element.style.setProperty("--columns", `${PICTURE}px ${widths} minmax(${FLAGS}px, 1fr)`);
    this.element.style.setProperty("--total", `${total}px`);
    const cell = (at, ...children) => h("div", { role: "columnheader", class: "cell", "aria-colindex": at }, children);
    const picture = cell(1, h("span", { class: "visually-hidden" }, "Picture"));
    refill(
      this.head,
      picture,
      now.map((each, at) => heading(each, at + 2, sort, desc)),
      cell(now.length + 2, "Flags"),
    );
    this.forget();
  }
}

const kindOf = (column) => `cell${column.numeric ? " number" : ""}${column.file ? " sticky" : ""}`;

/** Put text into a cell; the name of a file is a link to its page. */
function write(cell, text, row = null) {
  const holder = cell.querySelector("a") ?? cell;
  if (holder.textContent !== text) holder.textContent = text;
  if (row) holder.href = link({ page: "image", image: row.File_Name });
}

/** A heading is a link: it sorts upwards first, then downwards, then not at all. */
function heading(column, index, sort, desc) {
  const here = column.sort === sort;
  const next = !here ? { sort: column.sort, desc: null } : desc ? { sort: null, desc: null } : { sort, desc: 1 };
  const way = here ? (desc ? "descending" : "ascending") : "none";
  const arrow = here ? h("span", { "aria-hidden": "true" }, desc ? " ↓" : " ↑") : null;
  const dot = column.color ? h("span", { class: "dot", style: { background: column.color } }) : null;
  const group = column.group ? h("span", { class: "muted" }, ` ${column.group}`) : null;
  const name = h("span", { class: "name" }, column.title);
  return h(
    "div",
    { role: "columnheader", class: kindOf(column), "aria-colindex": index, "aria-sort": way },
    h("a", { href: link(next), title: `Sort by ${column.sort}` }, dot, name, group, arrow),
  );
}
