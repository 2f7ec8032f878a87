/** Compare: two evaluations of the same images: what differs in the settings, in the classes, in the images. */
import { announce, command, h, stillness } from "../dom.js";
import { getJson } from "../api.js";
import { count, iou, NONE, number, signed } from "../format.js";
import { bind } from "../keys.js";
import { link, onChange, param, set } from "../state.js";
import { panes } from "../panes.js";
import { chart, clear } from "../charts.js";
import { fill } from "../loading.js";
import { picture, release } from "../pictures.js";
import { section, swatch, table, tiles } from "../blocks.js";
import { noRun } from "./run.js";

export const title = "Compare";
export const updates = true;

const SHOWN = 8;

export async function show(root, { catalog, data, a, b }) {
  if (!a || !b || a === b) {
    root.replaceChildren(a ? choice(catalog, a) : noRun());
    return undefined;
  }
  const found = await getJson("/api/compare", { a, b, data });
  const view = fourPanes(found, { data, a, b });
  root.replaceChildren(h("div", { class: "page-body" },
    heading(a, b), scores(found), view.element,
    section("Images", changed("Got worse", found.worse, { data, a, b }), changed("Got better", found.better, { data, a, b })),
    section("IoU per class, B less A",
      found.reason ? h("p", { class: "remark" }, found.reason) : null,
      chart("difference", { title: "Difference with its interval", query: { data, a, b }, height: 320,
        note: "A click on a class shows its images, those that lost most first.",
        label: "Difference of the IoU of each class between B and A, with its interval." }),
      metricTable(found.metrics)),
    section("Settings that differ", settings(found.config))));
  view.start();
  return () => { view.stop(); release(root); clear(root); };
}

// With one evaluation only: the others to set beside it.
function choice(catalog, a) {
  const raw = catalog.evaluations.find(({ spec }) => spec === a)?.raw;
  const others = catalog.evaluations.filter((one) => one.spec !== a && one.raw === raw);
  return h("div", { class: "page-body narrow" }, h("div", { class: "empty" },
    h("h2", {}, "Compare with which run?"),
    others.length
      ? h("ul", { class: "run-choices" }, others.map((one) => h("li", {},
        h("a", { class: "panel", href: link({ b: one.spec }) }, h("strong", {}, one.spec),
          h("span", { class: "muted" }, `${one.model} on ${count(one.images, "image")} of ${one.subset}`),
          h("span", { class: "number" }, `mIoU ${iou(one.miou)}`)))))
      : [h("p", {}, "There is one evaluation only. Train with other settings and measure again:"),
        command("sightline train --epochs 20"), command("sightline evaluate")]));
}

function heading(a, b) {
  return h("div", { class: "part-head" },
    h("p", { class: "lead" }, h("span", { class: "run-a" }, "A"), " ", h("strong", {}, a), " against ",
      h("span", { class: "run-b" }, "B"), " ", h("strong", {}, b)),
    h("a", { class: "button", href: link({ a: b, b: a }) }, "Swap A and B"));
}

function scores({ images, only_a: onlyA, only_b: onlyB, metrics }) {
  const [mean] = metrics;
  return tiles([
    ["mIoU of A", iou(mean.a)], ["mIoU of B", iou(mean.b)],
    ["B less A", signed(mean.difference), interval(mean)],
    ["Images in both", number(images), onlyA + onlyB ? `${number(onlyA)} only in A, ${number(onlyB)} only in B` : "the same in both"],
  ]);
}

function interval(metric) {
  if (metric.low === null) return "no interval";
  const sure = metric.low > 0 || metric.high < 0;
  return `${signed(metric.low)} to ${signed(metric.high)}${sure ? "" : ", may be nothing"}`;
}

function metricTable(metrics) {
  const rows = metrics.map((one) => [
    h("span", { class: "class-name" }, one.class === null ? null : swatch(one.class), one.name),
    iou(one.a), iou(one.b),
    h("span", { class: one.low > 0 ? "good" : one.high < 0 ? "bad" : "" }, signed(one.difference)), interval(one),
  ]);
  return table("IoU per class", ["Class", "#A", "#B", "#B less A", "#Interval (95 %)"], rows);
}

function settings(config) {
  if (!config.length) return h("p", { class: "muted" }, "None: the same configuration.");
  const told = (value) => (value === null ? NONE : h("code", {}, typeof value === "string" ? value : JSON.stringify(value)));
  return table("Settings that differ", ["Setting", "A", "B"], config.map((one) => [h("code", {}, one.key), told(one.a), told(one.b)]));
}

function changed(what, rows, { data, a, b }) {
  if (!rows.length) return h("div", {}, h("h3", {}, what), h("p", { class: "muted" }, "None."));
  const boxes = rows.map((row) => changeBox(row, { data, a, b }));
  const more = boxes.splice(SHOWN);
  return h("div", {}, h("h3", {}, what), h("ul", { class: "changes" }, boxes),
    more.length ? h("details", {}, h("summary", {}, `${more.length} more`), h("ul", { class: "changes" }, more)) : null);
}

function changeBox(row, { data, a, b }) {
  return h("li", { class: "panel change" },
    h("div", { class: "pair-images" },
      picture({ ...row, data, a, layer: "error", label: `A ${iou(row.a)}` }),
      picture({ ...row, data, a: b, layer: "error", label: `B ${iou(row.b)}` })),
    h("div", { class: "change-foot" },
      h("span", { class: row.change < 0 ? "bad" : "good" }, signed(row.change)),
      h("span", { class: "picture-name" }, row.File_Name),
      h("button", { class: "button small", type: "button", "aria-label": `Four panes of ${row.File_Name}`,
        on: { click: () => choose(row.File_Name) } }, "Four panes")));
}

function choose(name) {
  set({ pick: name }, { replace: true });
  const four = document.querySelector(".four");
  four?.scrollIntoView({ behavior: stillness() ? "auto" : "smooth", block: "start" });
  four?.focus({ preventScroll: true });
}

// Ground truth, image, A and B of one image, zoomed together; `b` blinks between A and B.
function fourPanes(found, { data, a, b }) {
  const names = [...found.worse, ...found.better].map((row) => row.File_Name);
  const body = h("div", { class: "four-body" });
  const words = h("span", { class: "four-name" });
  const step = (by) => () => choose(names[(names.indexOf(current()) + by + names.length) % names.length]);
  const current = () => param("pick") ?? names[0];
  let view = null, shown = null;
  const end = () => { view?.dispose(); view = null; };
  const draw = (name) => (image) => {
    end();
    view = panes({ data, name, a, b, width: image.Width, height: image.Height, show: ["target", "image", "a", "b"], label: `Four views of ${name}` });
    const change = found.worse.concat(found.better).find((row) => row.File_Name === name)?.change ?? image.change;
    words.replaceChildren(h("a", { href: link({ page: "image", image: name }) }, name), ` ${signed(change)}`);
    announce(`${name}, mIoU ${signed(change)}`);
    view.element.style.setProperty("--ratio", `${image.Width} / ${image.Height}`);
    return view.element;
  };
  const update = () => {
    const name = current();
    if (!name || name === shown) return;
    shown = name;
    words.textContent = name;
    fill(body, (signal) => getJson("/api/image", { data, a, b, name }, { signal }), draw(name));
  };
  const button = (text, label, click) => h("button", { class: "button", type: "button", "aria-label": label, title: label, on: { click } }, text);
  const tools = h("div", { class: "part-head" }, h("h2", {}, "Side by side"), words,
    h("div", { class: "four-tools" }, button("←", "The image before", step(-1)), button("→", "The next image", step(1)),
      button("Blink", "Blink between A and B (b)", () => view?.blink())));
  let stops = [];
  return {
    element: names.length ? h("section", { class: "part four", tabindex: "-1" }, tools, body) : null,
    start() { if (names.length) { update(); stops = [onChange(update), bind({ b: () => view?.blink() })]; } },
    stop() { for (const stop of stops) stop?.(); end(); },
  };
}
