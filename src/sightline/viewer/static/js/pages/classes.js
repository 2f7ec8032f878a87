/** Classes: which stand together, where in the picture each stands, and how much of an image each takes. */
import { h } from "../dom.js";
import { classes } from "../colors.js";
import { count, percent } from "../format.js";
import { joinNames, onChange, param, set } from "../state.js";
import { chart, clear } from "../charts.js";
import { heatTile } from "../heat.js";
import { toImages } from "../leads.js";
import { pageBody, section, swatch } from "../blocks.js";

export const title = "Classes";
export const updates = true;

export async function show(root, { data, a }) {
  const chosen = h("div", { class: "chosen" });
  const all = classes();
  const tiles = all.map((one) => heatTile(one, data, () => set({ class: String(one.index) }, { replace: true })));
  root.replaceChildren(pageBody(title,
    section("Where each class stands",
      h("p", { class: "muted" }, "Share of the images that show the class at each place. Choose one to look closer."),
      h("div", { class: "heats", role: "group", "aria-label": "Class to look at" }, tiles), chosen),
    section("Which classes stand together",
      chart("cooccurrence", {
        title: "Images that show both", note: "A click shows those images.", query: { data, a }, height: 420,
        label: "Heat map: in how many images each two classes occur together.",
      }))));
  const choose = () => pick(chosen, tiles, all, { data, a });
  choose();
  const stop = onChange(choose);
  return () => { stop?.(); clear(root); };
}

// The class looked at closely: the one of the address, or the first that occurs at all.
function pick(chosen, tiles, all, { data, a }) {
  const asked = Number(param("class") ?? NaN);
  const one = all.find(({ index }) => index === asked) ?? all.find(({ images }) => images) ?? all[0];
  if (!one || chosen.dataset.class === String(one.index)) return;
  chosen.dataset.class = String(one.index);
  tiles.forEach((tile, place) => tile.setAttribute("aria-pressed", String(all[place] === one)));
  clear(chosen);
  const query = { data, a, class: one.index };
  chosen.replaceChildren(
    h("h3", { class: "class-name" }, swatch(one.index), h("span", {}, one.name),
      h("span", { class: "muted" }, `${count(one.images, "image")}, ${percent(one.share)} of the pixels`),
      h("a", { href: toImages({ has: joinNames([one.name]) }) }, "Show the images")),
    h("div", { class: "columns" },
      chart("heat", { title: "Where it stands", query, height: 300, heading: "h4",
        label: `Where ${one.name} stands in the images.` }),
      chart("shares", { title: "Share per image", query, height: 300, heading: "h4",
        note: "A click shows the images of a bar.",
        label: `In how many images ${one.name} takes which share of the pixels.` })));
}
