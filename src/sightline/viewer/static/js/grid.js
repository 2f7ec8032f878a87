/** The images as tiles. */

import { worth } from "./columns.js";
import { h } from "./dom.js";
import { count, iou, number } from "./format.js";
import { ListView } from "./list-view.js";
import { link } from "./state.js";
import { assign, release, thumb } from "./thumbs.js";

const GAP = 12;
const LEAST = { s: 130, m: 196, l: 320 };
const CAPTION = 42;
const SKELETONS = 60;

/** Build the grid into `root`; see ListView. */
export const gridView = (root, look, act) => new Grid(root, look, act);

class Grid extends ListView {
  constructor(root, look, act) {
    super(root, look, act, "grid-view");
    this.lay();
  }

  /** How far a key moves, in places. */
  get steps() {
    const page = this.scroller.page() * this.places;
    const rows = { ArrowUp: -this.places, ArrowDown: this.places, PageUp: -page, PageDown: page };
    return { ArrowLeft: -1, ArrowRight: 1, j: 1, k: -1, ...rows };
  }

  lay() {
    const { source, size } = this.look();
    const wide = this.element.clientWidth - 2 * GAP;
    if (wide <= 0) return;
    const least = LEAST[size ?? "m"] * (wide < 480 ? 0.77 : 1);
    const places = Math.max(1, Math.floor((wide + GAP) / (least + GAP)));
    const high = Math.round(((wide - (places - 1) * GAP) / places) * this.#aspect(source));
    if (places !== this.places) this.forget();
    this.places = places;
    this.element.style.setProperty("--thumb-height", `${high}px`);
    this.stand(Math.ceil((source.matched ?? SKELETONS) / places), places, high + CAPTION + GAP);
  }

  build() {
    const tiles = Array.from({ length: this.places }, (_, column) => newTile(column));
    const style = { "grid-template-columns": `repeat(${this.places}, minmax(0, 1fr))` };
    return h("div", { class: "grid-row", role: "row", style }, tiles);
  }

  fill(row, index) {
    row.setAttribute("aria-rowindex", index + 1);
    [...row.children].forEach((tile, column) => this.#tile(tile, index * this.places + column));
  }

  cell(place) {
    return this.shown.get(Math.floor(place / this.places))?.children[place % this.places] ?? null;
  }

  /** Tiles have the shape of the first image; others are shown whole within it. */
  #aspect(source) {
    const first = source.at(0);
    if (first?.Width && first.Height) this.shape = Math.min(1.2, Math.max(0.4, first.Height / first.Width));
    return this.shape ?? 0.5625;
  }

  #tile(tile, place) {
    const { source, active, layer, sort, size, data, a } = this.look();
    const row = source.at(place);
    tile.hidden = place >= (source.matched ?? SKELETONS);
    tile.dataset.place = place;
    tile.setAttribute("aria-selected", String(place === active));
    tile.classList.toggle("waiting", !row);
    caption(tile, row, worth(row, sort, size === "s"));
    if (!row) return release(tile.firstChild);
    const where = `${number(place + 1)} of ${number(source.matched)}`;
    tile.setAttribute("aria-label", `${row.File_Name}, ${where}, mIoU ${iou(row.miou)}`);
    return assign(tile.firstChild, { id: row.id, name: row.File_Name, data, a, layer });
  }
}

function newTile(column) {
  const words = { title: "Flag this image (f)", "aria-label": "Flag this image" };
  return h(
    "div",
    { class: "tile", role: "gridcell", tabindex: -1, "aria-colindex": column + 1, dataset: { place: 0 } },
    thumb(),
    h("div", { class: "caption" }, h("a", { class: "file", tabindex: -1 }, h("bdi")), h("span", { class: "number value" })),
    h("div", { class: "caption under" }, h("span", { class: "where" }), h("span", { class: "flags" })),
    h("button", { class: "flag-button", type: "button", tabindex: -1, ...words }, "⚑"),
  );
}

function caption(tile, row, told) {
  const [file, value] = tile.children[1].children;
  const [where, flags] = tile.children[2].children;
  const split = row?.Split === "None" ? null : row?.Split;
  file.firstChild.textContent = file.title = row?.File_Name ?? "";
  if (row) file.href = link({ page: "image", image: row.File_Name });
  else file.removeAttribute("href");
  value.textContent = told;
  where.textContent = [split, row?.Drive ?? row?.Group].filter((part) => part || part === 0).join(" · ");
  flags.textContent = row?.flags?.map((each) => `⚑ ${each.flag}`).join(", ") ?? "";
  flags.title = row?.flags?.length ? count(row.flags.length, "flag") : "";
}
