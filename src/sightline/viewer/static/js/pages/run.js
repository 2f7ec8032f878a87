/** Run: how a model learned, what it was told, and where it is right and wrong. */
import { command, h } from "../dom.js";
import { getJson } from "../api.js";
import { count, iou, NONE, number } from "../format.js";
import { joinNames } from "../state.js";
import { chart, clear } from "../charts.js";
import { dashboard, lineage, outward } from "../outward.js";
import { toPredict } from "../images-states.js";
import { toImages } from "../leads.js";
import { pageBody, section, swatch, table, tiles } from "../blocks.js";

export const title = "Run";

export async function show(root, { a, data, catalog }) {
  if (!a) {
    root.replaceChildren(pageBody(title, noRun({ catalog, data })));
    return undefined;
  }
  const run = await getJson("/api/run", { a });
  const query = { a, data };
  root.replaceChildren(pageBody(title,
    heading(run, catalog), scores(run),
    section("IoU per class",
      chart("iou", { title: "IoU with its interval, beside the majority baseline", query, height: 320,
        note: "A click on a class shows its images, worst first.",
        label: "IoU of each class with its confidence interval and the baseline." }),
      classTable(run)),
    section("What is taken for what",
      chart("confusion", { title: "Confusion matrix", query, height: 460,
        note: "Rows in percent of the ground-truth class. A click on a cell shows the images with most of its pixels.",
        label: "Confusion matrix: share of each ground-truth class that is predicted as each class." })),
    section("Learning",
      h("div", { class: "columns" },
        chart("losses", { title: "Loss", query, label: "Loss on train and valid per epoch." }),
        chart("lr", { title: "Learning rate", query, label: "Learning rate per epoch." })),
      chart("curves", { title: "IoU on valid", query, height: 300,
        label: "IoU of the mean and of each class per epoch." }),
      history(run.history)),
    configuration(run)));
  return () => clear(root);
}

/** What to do when no run is chosen, or when there are no predictions of the dataset yet. */
export function noRun({ catalog, data }) {
  if (catalog.evaluations.some((one) => one.raw === data)) {
    return h("div", { class: "empty" }, h("h2", {}, "No run A is chosen"), h("p", {}, "Choose one above."));
  }
  return h("div", { class: "empty" },
    h("h2", {}, "No predictions yet"),
    h("p", {}, "Train a model and measure it; its predictions then stand beside the ground truth everywhere."),
    command(toPredict(data)));
}

function heading(run, catalog) {
  return h("div", { class: "part-head" },
    h("p", { class: "lead" }, h("strong", {}, run.spec), ": model ", h("strong", {}, run.model),
      ` on ${count(run.images, "image")} of ${run.subset}, in ${count(run.groups, "group")}`),
    outward(catalog, [
      ["Metrics", () => dashboard(catalog, "metrics")], ["Lineage", () => lineage(catalog, run.spec)],
    ]));
}

function scores({ summary, miou, no_interval: reason }) {
  const detail = miou.low === null ? `no interval: ${reason}` : `${iou(miou.low)} to ${iou(miou.high)} (95 %)`;
  return tiles([
    ["mIoU", iou(miou.iou), detail],
    ["Majority baseline", iou(miou.baseline), "mIoU of always saying one class"],
    ["Pixel accuracy", iou(summary.pixel_accuracy)],
    ["Mean of the images", iou(summary.mean_image_iou), "mIoU of each, averaged"],
    ["Loss", number(summary.final_loss, 3)],
  ]);
}

function classTable({ classes }) {
  const rows = classes.map((one) => [
    h("span", { class: "class-name" }, swatch(one.index),
      h("a", { href: toImages({ has: joinNames([one.name]), sort: `${one.name}_iou` }) }, one.name)),
    iou(one.iou), one.low === null ? NONE : `${iou(one.low)} to ${iou(one.high)}`, iou(one.baseline),
  ]);
  return h("details", { class: "values" }, h("summary", {}, "IoU of each class"),
    table("IoU of each class", ["Class", "#IoU", "#Interval (95 %)", "#Baseline"], rows));
}

function history(rows) {
  if (!rows.length) return null;
  const columns = Object.keys(rows[0]);
  const cell = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4))) : value ?? NONE);
  return h("details", { class: "values" }, h("summary", {}, `All ${rows.length} epochs`),
    table("Epochs", columns.map((name) => `#${name}`), rows.map((row) => columns.map((name) => cell(row[name])))));
}

function configuration({ config, versions, command: text }) {
  const shown = (value) => h("code", {}, typeof value === "string" ? value : JSON.stringify(value));
  const lines = (entries) => Object.entries(entries).map(([key, value]) => [h("code", {}, key), shown(value)]);
  return section("Configuration",
    command(text),
    h("div", { class: "columns settings" },
      table("Configuration", ["Setting", "Value"], lines(config)),
      table("Versions", ["Package", "Version"], lines(versions))));
}
