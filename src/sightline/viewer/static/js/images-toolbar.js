/** The bar above the images: how many, in which order, with which layer, as tiles or table. */

import { columns } from "./columns.js";
import { announce, h } from "./dom.js";
import { count, number } from "./format.js";
import { link, param, set } from "./state.js";

const LAYERS = [
  ["target", "Ground truth", "g"],
  ["prediction", "Prediction", "p"],
  ["error", "Error", "e"],
  ["none", "Plain", ""],
];
const VIEWS = [
  ["grid", "Grid"],
  ["table", "Table"],
];
const SIZES = [
  ["s", "S", "", "Small tiles"],
  ["m", "M", "", "Tiles of middle size"],
  ["l", "L", "", "Large tiles"],
];

/** Returns {element, matched(n, total), sync(), worst()}. */
export function toolbar(context) {
  const counted = h("p", { class: "counted number" }, " ");
  const order = h("select", { "aria-label": "Sort by" });
  const way = h("button", { class: "button", type: "button" });
  const worst = h("button", { class: "button", type: "button", title: "Worst IoU first (w)" }, "Worst first");
  const report = h("a", { class: "button", title: "A report of these images, or one file to send" }, "Report");
  const layers = segments(
    "Layer",
    LAYERS,
    () => param("layer") ?? "target",
    (value) => set({ layer: value === "target" ? null : value }, { replace: true }),
  );
  const views = segments(
    "View",
    VIEWS,
    () => param("view") ?? "grid",
    (value) => set({ view: value === "grid" ? null : value }),
  );
  const sizes = segments(
    "Size of the tiles",
    SIZES,
    () => param("size") ?? "m",
    (value) => set({ size: value === "m" ? null : value }, { replace: true }),
  );
  order.addEventListener("change", () =>
    set({ sort: order.value || null, desc: order.value && downwards(order.value) ? 1 : null }),
  );
  way.addEventListener("click", () => set({ desc: param("desc") ? null : 1 }));
  const setWorst = () => {
    if (!context.a) return announce("There are no predictions to sort by");
    set(isWorst() ? { sort: null, desc: null } : { sort: "miou", desc: null });
    return announce(isWorst() ? "Worst IoU first" : "In the order of the files");
  };
  worst.addEventListener("click", setWorst);
  worst.disabled = !context.a;
  const sync = () => {
    options(order, context);
    way.disabled = !param("sort");
    way.textContent = param("desc") ? "↓" : "↑";
    way.title = param("desc") ? "Falling: click for rising" : "Rising: click for falling";
    way.setAttribute("aria-label", way.title);
    worst.setAttribute("aria-pressed", String(isWorst()));
    report.href = link({ page: "report" });
    layers.sync();
    views.sync();
    sizes.sync();
    sizes.element.hidden = param("view") === "table";
  };
  sync();
  const element = h(
    "div",
    { class: "toolbar" },
    counted,
    h("div", { class: "tools" }, order, way, worst),
    h("div", { class: "tools" }, layers.element),
    h("div", { class: "tools views" }, views.element, sizes.element, report),
  );
  const matched = (n, total) =>
    Object.assign(counted, n === null ? { textContent: " ", title: "" } : { textContent: count(n, "image"), title: `of ${number(total)}` });
  return { element, matched, sync, worst: setWorst };
}

const isWorst = () => param("sort") === "miou" && !param("desc");

/** What one wants to see the most of comes first; names and qualities rise. */
const downwards = (column) => /_share$|^(cell|Brightness|Width)$/.test(column);

function options(order, { a, b }) {
  const known = columns({ a, b, cell: param("cell") });
  const titled = ({ sort, title, group }) => h("option", { value: sort }, group ? `${title}: ${group}` : title);
  const now = param("sort") ?? "";
  const missing = now && !known.some((each) => each.sort === now) ? [h("option", { value: now }, now)] : [];
  order.replaceChildren(h("option", { value: "" }, "Dataset order"), ...known.map(titled), ...missing);
  order.value = now;
}

function segments(label, entries, read, write) {
  const buttons = entries.map(([value, text, key, words = text]) =>
    h(
      "button",
      {
        class: "button",
        type: "button",
        title: key ? `${words} (${key})` : words,
        "aria-label": words === text ? null : words,
        dataset: { value },
        on: { click: () => write(value) },
      },
      text,
    ),
  );
  const sync = () =>
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.value === read())));
  return { element: h("div", { class: "segments", role: "group", "aria-label": label }, buttons), sync };
}
