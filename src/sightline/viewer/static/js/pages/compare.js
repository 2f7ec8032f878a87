/** Compare: two evaluations of the same images: what differs in the images, in the classes, in the settings. */
import { command, h } from "../dom.js";
import { getJson } from "../api.js";
import { count, iou, NONE, number, signed } from "../format.js";
import { link } from "../state.js";
import { chart, clear } from "../charts.js";
import { choose, FourPanes } from "../four-panes.js";
import { picture, release } from "../pictures.js";
import { folded, pageBody, section, swatch, table, tiles } from "../blocks.js";
import { noRun } from "./run.js";

export const title = "Compare";
export const updates = true;

const SHOWN = 8;

export async function show(root, { catalog, data, a, b }) {
  if (!a || !b || a === b) {
    root.replaceChildren(pageBody(title, a ? choice(catalog, a) : noRun({ catalog, data })));
    return undefined;
  }
  const runs = { data, a, b };
  const found = await getJson("/api/compare", runs);
  const four = new FourPanes([...found.worse, ...found.better], runs);
  root.replaceChildren(pageBody(title,
    heading(a, b), scores(found), four.element,
    section("Images", changed("Got worse", found.worse, runs), changed("Got better", found.better, runs)),
    section("IoU per class, B less A",
      found.reason ? h("p", { class: "remark" }, found.reason) : null,
      chart("difference", { title: "Difference with its interval", query: runs, height: 320,
        note: "A click on a class shows its images, those that lost most first.",
        label: "Difference of the IoU of each class between B and A, with its interval." }),
      metricTable(found.metrics)),
    section("Settings that differ", settings(found.config))));
  four.start();
  return () => { four.stop(); release(root); clear(root); };
}

// With one evaluation only: the others to set beside it.
function choice(catalog, a) {
  const raw = catalog.evaluations.find(({ spec }) => spec === a)?.raw;
  const others = catalog.evaluations.filter((one) => one.spec !== a && one.raw === raw);
  return h("div", { class: "empty" },
    h("h2", {}, "Compare with which run?"),
    others.length ? h("ul", { class: "run-choices" }, others.map(other))
      : [h("p", {}, "There is one evaluation only. Train with other settings and measure again:"),
        command("sightline train --epochs 20"), command("sightline evaluate")]);
}

function other({ spec, model, images, subset, miou }) {
  return h("li", {}, h("a", { class: "panel", href: link({ b: spec }) },
    h("strong", {}, spec), h("span", { class: "muted" }, `${model} on ${count(images, "image")} of ${subset}`),
    h("span", { class: "number" }, `mIoU ${iou(miou)}`)));
}

function heading(a, b) {
  return h("div", { class: "part-head" },
    h("p", { class: "lead" }, h("span", { class: "run-a" }, "A"), " ", h("strong", {}, a), " against ",
      h("span", { class: "run-b" }, "B"), " ", h("strong", {}, b)),
    h("a", { class: "button", href: link({ a: b, b: a }) }, "Swap A and B"));
}

function scores({ images, only_a: onlyA, only_b: onlyB, metrics: [mean] }) {
  const alone = `${number(onlyA)} only in A, ${number(onlyB)} only in B`;
  return tiles([
    ["mIoU of A", iou(mean.a)],
    ["mIoU of B", iou(mean.b)],
    ["B less A", signed(mean.difference), interval(mean)],
    ["Images in both", number(images), onlyA + onlyB ? alone : "the same in both"],
  ]);
}

function interval({ low, high }) {
  if (low === null) return "no interval";
  return `${signed(low)} to ${signed(high)}${low > 0 || high < 0 ? "" : ", may be nothing"}`;
}

function metricTable(metrics) {
  const verdict = ({ low, high }) => (low > 0 ? "good" : high < 0 ? "bad" : "");
  const rows = metrics.map((one) => [
    h("span", { class: "class-name" }, one.class === null ? null : swatch(one.class), one.name),
    iou(one.a), iou(one.b), h("span", { class: verdict(one) }, signed(one.difference)), interval(one),
  ]);
  return table("IoU per class", ["Class", "#A", "#B", "#B less A", "#Interval (95 %)"], rows);
}

function settings(config) {
  if (!config.length) return h("p", { class: "muted" }, "None: the same configuration.");
  const told = (value) => {
    if (value === null) return NONE;
    return h("code", {}, typeof value === "string" ? value : JSON.stringify(value));
  };
  const rows = config.map(({ key, a, b }) => [h("code", {}, key), told(a), told(b)]);
  return table("Settings that differ", ["Setting", "A", "B"], rows);
}

function changed(what, rows, runs) {
  if (!rows.length) return h("div", {}, h("h3", {}, what), h("p", { class: "muted" }, "None."));
  const boxes = rows.map((row) => changeBox(row, runs));
  const more = boxes.splice(SHOWN);
  return h("div", {}, h("h3", {}, what), h("ul", { class: "changes" }, boxes),
    more.length ? folded(`${more.length} more`, h("ul", { class: "changes" }, more)) : null);
}

function changeBox(row, { data, a, b }) {
  const name = row.File_Name;
  return h("li", { class: "panel change" },
    h("div", { class: "pair-images" },
      picture({ ...row, data, a, layer: "error", label: `A ${iou(row.a)}` }),
      picture({ ...row, data, a: b, layer: "error", label: `B ${iou(row.b)}` })),
    h("div", { class: "change-foot" },
      h("span", { class: row.change < 0 ? "bad" : "good" }, signed(row.change)),
      h("span", { class: "picture-name" }, name),
      h("button", { class: "button small", type: "button", "aria-label": `Four panes of ${name}`,
        on: { click: () => choose(name) } }, "Four panes")));
}
