/** Images: all rows that the filters leave, as tiles or as a table. */

import { announce, debounce, h } from "../dom.js";
import { flagDialog, onFlags } from "../flags.js";
import { focusFilter } from "../filters.js";
import { gridView } from "../grid.js";
import { toolbar } from "../images-toolbar.js";
import { emptyState, failedState, noData, noPredictions } from "../images-states.js";
import { bind } from "../keys.js";
import { queryOf, Rows } from "../rows.js";
import { filterKeys, filters, link, onChange, param, follow, set } from "../state.js";
import { tableView } from "../table.js";

export const title = "Images";
export const rail = true;
export const inspector = true;
export const updates = true;

export function show(root, context) {
  root.classList.add("images-page");
  if (!context.data) {
    root.append(noData());
    return undefined;
  }
  const list = new List(root, context);
  return () => list.close();
}

const ORDER = [...filterKeys, "sort", "desc"];

class List {
  constructor(root, context) {
    Object.assign(this, { root, context, active: Number(param("at") ?? 0) || 0, view: null });
    this.bar = toolbar(context);
    this.notice = context.a ? null : noPredictions(context);
    this.room = h("div", { class: "view-room" });
    root.append(
      ...[h("h1", { class: "visually-hidden" }, "Images"), this.bar.element, this.notice, this.room].filter(Boolean),
    );
    this.act = {
      select: (place, click) => this.select(place, click),
      open: (place) => this.open(place),
      flag: (place) => this.flag(place),
    };
    this.#ask();
    this.#build();
    this.ends = [
      onChange((keys) => this.#changed(keys)),
      bind(this.#keys()),
      onFlags((change) => this.#flagged(change)),
    ];
    this.write = debounce(() => set({ at: this.active || null }, { replace: true }), 150);
  }

  close() {
    this.write.cancel();
    this.ends.forEach((end) => end());
    this.source.close();
    this.next?.close();
    this.view?.close();
  }

  /** What the views draw. */
  look() {
    const { data, a, b } = this.context;
    return {
      source: this.source,
      active: this.active,
      data,
      a,
      b,
      layer: this.layer(),
      sort: param("sort"),
      desc: param("desc"),
      cell: param("cell"),
      size: "sml".includes(param("size") ?? "m") ? param("size") : null,
    };
  }

  layer() {
    return param("layer") ?? "target";
  }

  select(place, click = false) {
    const { matched } = this.source;
    if (!matched) return;
    const moved = this.active !== place;
    this.active = Math.min(matched - 1, Math.max(0, place));
    if (moved) {
      this.view.update();
      this.view.reveal(this.active);
      this.write();
    }
    this.#inspect();
    if (click && matchMedia("(max-width: 800px)").matches) this.context.openDrawer("inspector");
  }

  open(place = this.active) {
    const row = this.source.at(place);
    if (!row) return false;
    this.active = place;
    this.write.cancel();
    set({ at: place || null }, { replace: true });
    follow(link({ page: "image", image: row.File_Name }));
    return true;
  }

  flag(place = this.active) {
    const row = this.source.at(place);
    if (!row) return false;
    flagDialog(this.context, row);
    return true;
  }

  /** Ask for the rows of the present query; what is shown stays until they come. */
  #ask() {
    const query = queryOf(this.context, filters(), { sort: param("sort"), desc: param("desc") });
    const next = new Rows(
      query,
      (source) => this.#arrived(source),
      (error) => this.#failed(error),
    );
    if (this.source) {
      this.next?.close();
      this.next = next;
      this.room.setAttribute("aria-busy", "true");
    } else this.source = next;
    next.want(0, 1);
  }

  #arrived(source) {
    const fresh = source === this.next;
    if (fresh) {
      this.source.close();
      [this.source, this.next] = [source, null];
    }
    if (source !== this.source) return;
    this.room.removeAttribute("aria-busy");
    this.active = Math.min(this.active, Math.max(0, source.matched - 1));
    this.bar.matched(source.matched, source.total);
    this.context.rail?.matched(source.matched, source.total);
    if (fresh) announce(`${source.matched} images`);
    this.#stand();
    if (fresh && this.view.element.contains(document.activeElement)) this.view.focus();
    if (!this.arrivedOnce && this.active) this.view?.reveal(this.active, true);
    this.arrivedOnce = true;
    this.#inspect();
  }

  /** Show tiles or table, or say why there is nothing to show. */
  #stand() {
    const empty = this.source.matched === 0;
    if (empty || this.blank) {
      this.blank?.remove();
      this.blank = null;
    }
    if (empty) {
      this.blank = emptyState(this.source, this.context);
      this.view.element.hidden = true;
      this.room.append(this.blank);
      return;
    }
    this.view.element.hidden = false;
    this.view.update();
  }

  #failed(error) {
    this.room.removeAttribute("aria-busy");
    this.bar.matched(null);
    this.context.rail?.matched(null);
    this.next = null;
    this.blank?.remove();
    this.blank = failedState(error, () => this.#ask());
    this.view.element.hidden = true;
    this.room.append(this.blank);
  }

  #build() {
    this.view?.close();
    this.view = (param("view") === "table" ? tableView : gridView)(this.room, () => this.look(), this.act);
    if (this.active) this.view.reveal(this.active, true);
  }

  #inspect() {
    const row = this.source.at(this.active);
    if (row || !this.source.matched) this.context.inspector.show(row, this.layer());
  }

  #changed(keys) {
    this.bar.sync();
    if (ORDER.some((key) => keys.has(key))) {
      this.active = 0;
      this.#ask();
      if (!this.view.element.hidden) this.view.reveal(0);
    }
    if (keys.has("view")) this.#build();
    if (keys.has("layer") || keys.has("size")) {
      this.view.update();
      this.#inspect();
    }
    if (keys.has("at") && Number(param("at") ?? 0) !== this.active) this.select(Number(param("at") ?? 0));
  }

  #flagged({ name, flags }) {
    for (const rows of this.source.pages.values())
      for (const row of rows) if (row.File_Name === name) row.flags = flags;
    this.view.update();
  }

  #keys() {
    const here = (event) =>
      event.target === document.body || this.root.contains(event.target) || event.target.id === "content";
    const move = (event) => {
      const step = this.view.steps[event.key];
      if (!step || !here(event)) return false;
      this.select(this.active + step);
      this.view.focus();
      return true;
    };
    const edge = (place) => (event) => here(event) && (this.select(place()), this.view.focus(), true);
    const moves = Object.fromEntries(
      ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "PageUp", "PageDown", "j", "k"].map((key) => [key, move]),
    );
    const layer = (name) => () =>
      set({ layer: this.layer() === name ? "none" : name === "target" ? null : name }, { replace: true });
    return {
      ...moves,
      Home: edge(() => 0),
      End: edge(() => this.source.matched - 1),
      Enter: (event) => here(event) && this.open(),
      f: () => this.flag(),
      w: () => this.bar.worst(),
      "/": () => (this.context.openDrawer("rail"), focusFilter()),
      g: layer("target"),
      p: layer("prediction"),
      e: layer("error"),
    };
  }
}
