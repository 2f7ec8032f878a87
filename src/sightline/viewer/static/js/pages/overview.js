/** Overview: the walk as a pipeline, what the data holds, what ingest had to say, and what changed since. */
import { command, h } from "../dom.js";
import { getJson } from "../api.js";
import { classes, facts as known } from "../colors.js";
import { count, number, percent } from "../format.js";
import { joinNames, link } from "../state.js";
import { dashboard, lineage, outward } from "../outward.js";
import { toImages } from "../leads.js";
import { bar, duration, list, moment, pageBody, section, swatch, table, tiles } from "../blocks.js";

export const title = "Overview";

const DASHBOARD = { metrics: "Metrics", runs: "Runs", artifacts: "Artifacts" };
const PAGES = { ingest: "images", split: "split", train: "run", evaluate: "run", report: "report" };
const STATUS = { finished: "finished", running: "running", failed: "failed", stopped: "stopped early", missing: "not yet made" };
const START = [
  ["Your own folder of images and masks", "sightline run --data FOLDER"],
  ["A small synthetic set, to look round", "sightline sample demo && sightline run --data demo"],
];

export async function show(root, { catalog, data, a }) {
  if (!data) {
    root.replaceChildren(nothingYet());
    return;
  }
  const overview = await getJson("/api/overview", { data, a });
  root.replaceChildren(pageBody(title,
    pipeline(overview.stages, catalog),
    section("Data", facts(overview.counts, known()), classTable(classes(), overview.counts.images)),
    noted(overview), changed(overview.changes)));
}

function nothingYet() {
  return pageBody(title,
    h("div", { class: "empty" },
      h("h2", {}, "This store is empty"),
      h("p", {}, "Nothing has been ingested yet. One command walks from a folder of labelled images to a report:"),
      START.map(([what, text]) => h("div", { class: "start" }, h("p", { class: "muted" }, what), command(text))),
      h("p", { class: "muted" }, "Then reload this page.")));
}

function pipeline(stages, catalog) {
  const parts = Object.entries(DASHBOARD).map(([place, name]) => [name, () => dashboard(catalog, place)]);
  return h("section", { class: "part" },
    h("div", { class: "part-head" }, h("h2", {}, "The walk"), outward(catalog, parts)),
    h("ol", { class: "pipeline" }, stages.map((stage) => stageBox(stage, catalog))));
}

function stageBox(stage, catalog) {
  const { spec, status = "missing", facts: words, error, command: text } = stage;
  return h("li", { class: `panel walk-step is-${status}` },
    h("div", { class: "step-head" },
      h("h3", {}, stage.stage), h("span", { class: "status" }, STATUS[status] ?? status)),
    spec ? h("p", { class: "spec" }, h("a", { href: link({ page: PAGES[stage.stage] }) }, spec)) : null,
    words ? h("p", {}, words) : null,
    status === "failed" && error ? h("p", { class: "bad" }, error) : null,
    spec || stage.created ? h("p", { class: "muted when" }, when(stage)) : null,
    status !== "finished" && status !== "running" && text ? command(text) : null,
    spec ? h("p", { class: "digest muted" }, digest(stage), origin(catalog, spec)) : null);
}

const origin = (catalog, spec) => outward(catalog, [["lineage", () => lineage(catalog, spec)]]);

function digest({ digest: whole }) {
  return whole ? h("span", { title: whole }, whole.replace(/^sha256:/, "").slice(0, 12)) : null;
}

function when({ run, created, seconds }) {
  const took = duration(seconds);
  return [run ? `${run} · ` : null, moment(created), took ? ` · ${took}` : null];
}

function facts({ images, groups, drives, sizes }, { classes: all, ignored_share: ignored }) {
  const [size] = sizes, more = sizes.length - 1;
  const unseen = all.filter((one) => !one.images).length;
  return tiles([
    ["Images", number(images)],
    ["Groups", number(groups), `of ${count(drives, "drive")}`],
    ["Classes", all.length, unseen ? `${unseen} never seen` : "all seen"],
    ["Not labelled", percent(ignored), "of the pixels"],
    size && ["Size", size.slice(0, 2).join(" × "), more ? `and ${count(more, "other size")}` : "all images"],
  ]);
}

function classTable(all, images) {
  const largest = Math.max(1e-9, ...all.map((one) => one.share));
  const measure = (share, filled) => h("span", { class: "measure" }, filled, h("span", {}, percent(share)));
  const rows = all.map(({ index, name, share, images: own }) => [
    h("span", { class: "class-name" }, swatch(index), h("a", { href: toImages({ has: joinNames([name]) }) }, name)),
    measure(share, bar(share / largest, index)),
    measure(own / Math.max(1, images), bar(own / Math.max(1, images))),
    number(own),
  ]);
  return h("div", { class: "class-table" },
    table("Classes", ["Class", "#Share of pixels", "#Present in", "#Images"], rows));
}

function noted({ warnings, skipped, beyond_limit: beyond }) {
  const words = ({ file, reason }) => [file ? [h("code", {}, file), " "] : null, reason];
  const parts = [
    warnings.length && list(warnings.map(words), { kind: "warnings" }),
    skipped.length && [h("h3", {}, `${count(skipped.length, "pair")} left out`), list(skipped.map(words))],
    beyond && h("p", {}, `${count(beyond, "image")} beyond the limit were not looked at.`),
  ].filter(Boolean);
  return section("Ingest",
    parts.length ? parts : h("p", { class: "well" }, "No warnings, and no image was left out."));
}

const KINDS = [
  ["added", "added"], ["removed", "removed"], ["image_changed", "image changed"], ["mask_changed", "mask changed"],
  ["flagged_changed", "flagged before, changed since"], ["flagged_unchanged", "flagged before, still as they were"],
];

function changed(changes) {
  if (!changes) return null;
  const many = (key) => changes.counts?.[key] ?? changes[key]?.length ?? 0;
  const found = KINDS.filter(([key]) => many(key));
  return section(`Changed against ${changes.against}`,
    found.length === 0 ? h("p", { class: "well" }, "Nothing: the same images with the same masks.") : null,
    h("div", { class: "columns" }, found.map(([key, what]) =>
      h("div", {}, h("h3", {}, `${number(many(key))} ${what}`),
        list(changes[key].map((name) => named(name, changes.removed)), { most: 6, kind: "names" })))));
}

function named(name, removed) {
  return removed.includes(name) ? h("code", {}, name) : h("a", { href: link({ page: "image", image: name }) }, name);
}
