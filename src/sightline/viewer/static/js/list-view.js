/** What the grid and the table of images share: rows that come and go with scrolling, one active place, its focus. */

import { h } from "./dom.js";
import { Scroller } from "./scroller.js";
import { release } from "./thumbs.js";

/**
 * `look()` → {source, active, layer, sort, desc, size, data, a, b, cell}; `act` {select(place, click), open(place),
 * flag(place)}. Heirs say how many `places` a row holds and define `lay()`, `fill(row, index)`, `build()` (a new row)
 * and `cell(place)` (the element that gets the focus).
 */
export class ListView {
  constructor(root, look, act, kind, ...head) {
    Object.assign(this, { look, act, shown: new Map(), spare: [], places: 1 });
    this.canvas = h("div", { class: "scroll-canvas", role: "presentation" });
    const named = { role: "grid", "aria-label": "Images", "aria-readonly": "true" };
    this.element = h("div", { class: `scroll-view ${kind}`, ...named }, head, this.canvas);
    root.append(this.element);
    this.scroller = new Scroller(this.element, this.canvas, (...args) => this.#draw(...args));
    this.observer = new ResizeObserver(() => this.lay());
    this.observer.observe(this.element);
    for (const kind of ["click", "dblclick", "focusin"])
      this.element.addEventListener(kind, (event) => this.#hear(event));
  }

  /** Rows, their order, the layer or the active place changed. */
  update() {
    this.lay();
  }

  /** Bring a place into view. */
  reveal(place, middle = false) {
    this.scroller.reveal(Math.floor(place / this.places), middle);
  }

  focus() {
    this.cell(this.look().active)?.focus({ preventScroll: true });
  }

  close() {
    this.observer.disconnect();
    this.scroller.close();
    this.forget();
    this.element.remove();
  }

  /** Throw the rows away: they are of another make than what is wanted now. */
  forget() {
    for (const row of [...this.shown.values(), ...this.spare]) {
      this.#release(row);
      row.remove();
    }
    this.shown.clear();
    this.spare = [];
  }

  /** Say how many there are, and lay out that many rows of a height below a head. */
  stand(rows, columns, height, head = 0) {
    const { source } = this.look();
    const unknown = source.matched === null;
    this.element.setAttribute("aria-rowcount", unknown ? -1 : rows + (head ? 1 : 0));
    this.element.setAttribute("aria-colcount", columns);
    this.element.setAttribute("aria-busy", String(unknown));
    this.scroller.lay(rows, height, head);
  }

  #draw(first, last, y) {
    const { source, active } = this.look();
    if (source.matched !== 0) source.want(first * this.places, (last + 1) * this.places - 1);
    for (const [index, row] of this.shown) if (index < first || index > last) this.#put(index, row);
    for (let index = first; index <= last; index++) this.#row(index, y(index));
    this.#stops(this.cell(active));
  }

  #row(index, y) {
    const row = this.shown.get(index) ?? this.spare.pop() ?? this.build();
    if (!row.isConnected) this.canvas.append(row);
    this.shown.set(index, row);
    row.hidden = false;
    row.style.transform = `translateY(${y}px)`;
    this.fill(row, index);
  }

  /** Keep a row that left the view for one that comes; the focus must not travel with it. */
  #put(index, row) {
    if (row.contains(document.activeElement)) this.element.focus({ preventScroll: true });
    this.shown.delete(index);
    row.hidden = true;
    this.#release(row);
    this.spare.push(row);
  }

  #release(row) {
    for (const element of row.querySelectorAll(".thumb")) release(element);
  }

  /** Only the active place is a stop of the Tab key; the whole list where that place is out of view. */
  #stops(active) {
    for (const cell of this.canvas.querySelectorAll("[data-place][tabindex='0']"))
      if (cell !== active) cell.tabIndex = -1;
    if (active) active.tabIndex = 0;
    this.element.tabIndex = active ? -1 : 0;
  }

  #hear(event) {
    const cell = event.target.closest?.("[data-place]");
    if (!cell) return;
    const place = Number(cell.dataset.place);
    if (!this.look().source.at(place)) return;
    if (event.type === "dblclick") this.act.open(place);
    else if (event.target.closest(".flag-button")) {
      if (event.type === "click") this.act.flag(place);
    } else if (!event.target.closest("a")) this.act.select(place, event.type === "click");
  }
}
