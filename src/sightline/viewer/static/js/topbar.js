/** The bar on top: where one is, which dataset version, which runs. */

import { count, iou } from "./format.js";
import { h, refill } from "./dom.js";
import { link, onChange, page, paintKeys, param, set } from "./state.js";

const PAGES = [
  ["overview", "Overview"],
  ["images", "Images"],
  ["classes", "Classes"],
  ["split", "Split"],
  ["run", "Run"],
  ["compare", "Compare"],
  ["report", "Report"],
];

/** Build the bar into `root`; `actions`: {help(), drawer(side)}. */
export function mountTopbar(root, catalog, actions) {
  const nav = h("nav", { class: "pages", "aria-label": "Pages" });
  const choices = h("div", { class: "choices" });
  const drawers = [
    ["rail", "Filters"],
    ["inspector", "Details"],
  ].map(([side, text]) =>
    h(
      "button",
      {
        class: "button small drawer-button",
        type: "button",
        dataset: { side },
        "aria-controls": side,
        "aria-expanded": "false",
        on: { click: () => actions.drawer(side) },
      },
      text,
    ),
  );
  const help = h(
    "button",
    {
      class: "button small round",
      type: "button",
      title: "Help and keys (?)",
      "aria-label": "Help and keys",
      on: { click: actions.help },
    },
    "?",
  );
  const brand = h("a", { class: "brand", href: "/" }, h("span", { class: "mark", "aria-hidden": "true" }), "Sightline");
  refill(root, brand, nav, choices, h("div", { class: "drawers" }, drawers), help);
  const update = () => {
    brand.href = link({ page: "overview" });
    refill(nav, PAGES.map(entry));
    refill(choices, chooseData(catalog), chooseRun(catalog, "a", "Run A"), chooseRun(catalog, "b", "Run B"));
    nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  };
  onChange((keys) => {
    if (![...keys].every((key) => paintKeys.includes(key))) update();
  });
  update();
}

function entry([name, text]) {
  const here = page() === name || (page() === "image" && name === "images");
  return h("a", { href: link({ page: name }), "aria-current": here ? "page" : null }, text);
}

function chooseData(catalog) {
  const options = catalog.datasets.map((each) => [each.spec, `${each.spec} · ${count(each.images, "image")}`]);
  return choice("Data", options, param("data"), (data) => set(moved(catalog, data)));
}

/** Another dataset version takes only its own runs along. */
function moved(catalog, data) {
  const own = catalog.evaluations.filter((each) => each.raw === data);
  const keep = (key) => (own.some((each) => each.spec === param(key)) ? param(key) : null);
  return { data, a: keep("a") ?? own[0]?.spec ?? null, b: keep("b") };
}

function chooseRun(catalog, key, label) {
  const own = catalog.evaluations.filter((each) => each.raw === param("data"));
  const options = own.map((each) => [each.spec, `${each.spec} · ${each.subset} · mIoU ${iou(each.miou)}`]);
  const none = own.length ? "none" : "no predictions yet";
  return choice(label, [["none", none], ...options], param(key) ?? "none", (value) =>
    set({ [key]: value === "none" && key === "b" ? null : value }),
  );
}

function choice(label, options, value, chosen) {
  const select = h(
    "select",
    { "aria-label": label },
    options.map(([each, text]) => h("option", { value: each, prop: { selected: each === value } }, text)),
  );
  select.addEventListener("change", () => chosen(select.value));
  return h("label", { class: "choice" }, h("span", null, label), select);
}
