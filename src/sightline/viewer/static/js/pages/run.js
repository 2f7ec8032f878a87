/** Run: how a model learned, what it was told, and where it is right and wrong. */
import { command, h } from "../dom.js";
import { getJson } from "../api.js";
import { iou, number } from "../format.js";
import { guarded, joinNames, link } from "../state.js";
import { chart, clear } from "../charts.js";
import { dashboard, lineage, outward } from "../outward.js";
import { section, swatch, table, tiles } from "../blocks.js";

export const title = "Run";

export async function show(root, { a, data, catalog }) {
  if (!a) {
    root.replaceChildren(noRun());
    return undefined;
  }
  const run = await getJson("/api/run", { a });
  const query = { a, data };
  root.replaceChildren(h("div", { class: "page-body" },
    heading(run, catalog), scores(run),
    section("IoU per class",
      chart("iou", { title: "IoU with its interval, beside the majority baseline", query, height: 320, note: "A click on a class shows its images, worst first.",
        label: "IoU of each class with its confidence interval and the baseline." }),
      classTable(run)),
    section("What is taken for what",
      chart("confusion", { title: "Confusion matrix", query, height: 460,
        note: "Each row in percent of its ground-truth class. A click on a cell shows the images with most of its pixels.",
        label: "Confusion matrix: share of each ground-truth class that is predicted as each class." })),
    section("Learning",
      h("div", { class: "columns" },
        chart("losses", { title: "Loss", query, label: "Loss on train and valid per epoch." }),
        chart("lr", { title: "Learning rate", query, label: "Learning rate per epoch." })),
      chart("curves", { title: "IoU on valid", query, height: 300, label: "IoU of the mean and of each class per epoch." }),
      history(run.history ?? [])),
    configuration(run)));
  return () => clear(root);
}

/** What to do when there are no predictions yet. */
export function noRun() {
  return h("div", { class: "page-body narrow" }, h("div", { class: "empty" },
    h("h2", {}, "No predictions yet"),
    h("p", {}, "Train a model and measure it; its predictions then stand beside the ground truth everywhere."),
    command("sightline train"), command("sightline evaluate")));
}

function heading(run, catalog) {
  const known = catalog.evaluations?.find((one) => one.spec === run.spec) ?? {};
  return h("div", { class: "part-head" },
    h("p", { class: "lead" }, h("strong", {}, run.spec), run.model ? [": model ", h("strong", {}, run.model)] : null,
      run.subset ?? known.subset ? ` on ${(run.images ?? known.images)?.toLocaleString()} images of ${run.subset ?? known.subset}` : null),
    outward(catalog, [["Metrics", () => dashboard(catalog, "metrics")], ["Lineage", () => lineage(catalog, run.spec)]]));
}

function scores({ summary = {}, miou }) {
  const low = miou?.low ?? summary.final_miou_low, high = miou?.high ?? summary.final_miou_high;
  const detail = low === undefined || low === null ? "no interval: too few groups" : `${iou(low)} to ${iou(high)} (95 %)`;
  return tiles([
    ["mIoU", iou(miou?.iou ?? summary.final_miou), detail],
    ["Majority baseline", iou(miou?.baseline ?? summary.baseline_miou), "mIoU of always saying one class"],
    ["Pixel accuracy", iou(summary.pixel_accuracy)],
    ["Mean of the images", iou(summary.mean_image_iou), "mIoU of each, averaged"],
    ["Loss", number(summary.final_loss, 3)],
  ]);
}

function classTable({ classes = [] }) {
  const rows = classes.map((one) => [
    h("span", { class: "class-name" }, swatch(one.index),
      h("a", { href: link({ page: "images", has: joinNames([one.name]), sort: `${one.name}_iou`, desc: null }) }, one.name)),
    iou(one.iou), one.low === null || one.low === undefined ? "–" : `${iou(one.low)} to ${iou(one.high)}`, iou(one.baseline),
  ]);
  return h("details", { class: "values" }, h("summary", {}, "IoU of each class"),
    table("IoU of each class", ["Class", "#IoU", "#Interval (95 %)", "#Baseline"], rows));
}

function history(rows) {
  if (!rows.length) return null;
  const columns = Object.keys(rows[0]);
  const cell = (value) => (value === null || value === undefined ? "–" : typeof value === "number" && !Number.isInteger(value) ? number(value, 4) : String(value));
  return h("details", { class: "values" }, h("summary", {}, `All ${rows.length} epochs`),
    table("Epochs", columns.map((name) => `#${name}`), rows.map((row) => columns.map((name) => cell(row[name])))));
}

function configuration({ config = {}, versions = {}, command: text }) {
  const lines = (entries) => Object.entries(entries).map(([key, value]) => [h("code", {}, key), h("code", {}, shown(value))]);
  return section("Configuration",
    text ? command(text) : null,
    h("div", { class: "columns" },
      table("Configuration", ["Setting", "Value"], lines(config)),
      Object.keys(versions).length ? table("Versions", ["Package", "Version"], lines(versions)) : null));
}

function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}
