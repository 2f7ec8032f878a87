/** Split: how alike the subsets are, and what they share that they should not. */
import { command, h } from "../dom.js";
import { getJson } from "../api.js";
import { count, number, percent } from "../format.js";
import { joinNames, link } from "../state.js";
import { chart, clear } from "../charts.js";
import { toImages } from "../leads.js";
import { bar, folded, list, pageBody, section, table, tiles } from "../blocks.js";
import { picture, release } from "../pictures.js";

export const title = "Split";

const SUBSETS = ["train", "valid", "test"];
const PAIRS = 12;
const GROUPS = 400;

export async function show(root, { data, a }) {
  const split = await getJson("/api/split", { data, a });
  if (!split.spec) {
    root.replaceChildren(pageBody(title, h("div", { class: "empty" },
      h("h2", {}, "Not split yet"), h("p", {}, "Training needs a train and a valid subset that share no drive."),
      command(split.command))));
    return undefined;
  }
  root.replaceChildren(pageBody(title,
    h("p", { class: "lead" }, made(split)),
    subsetTiles(split.subsets),
    warned(split),
    section("Leak check", checks(split), pairs(split, data)),
    section("Classes in each subset",
      chart("subsets", { title: "Share of the pixels, against the whole", query: { data, a }, height: 320,
        label: "Share of the pixels of each class in train, valid and test against the whole set." }),
      shares(split.class_shares)),
    section("Groups", groups(split)),
    dropped(split.dropped)));
  return () => { release(root); clear(root); };
}

function made({ spec, method, seed, folds, test_folds: test, valid_folds: valid }) {
  const how = method === "published" ? "the split that the dataset came with"
    : method === "csv" ? "taken from a CSV file"
      : `${folds} folds, groups kept together, classes spread evenly (seed ${seed}); ` +
        `valid is fold ${valid.join(", ")}${test.length ? `, test is fold ${test.join(", ")}` : ""}`;
  return [h("strong", {}, spec), `: ${how}.`];
}

function subsetTiles(subsets) {
  const all = SUBSETS.reduce((sum, name) => sum + (subsets[name]?.images ?? 0), 0);
  return tiles(SUBSETS.filter((name) => subsets[name]?.images).map((name) => {
    const { images, groups: some, drives } = subsets[name];
    const what = h("a", { href: toImages({ split: name }) }, number(images));
    return [name, what, `${percent(images / all)} · ${count(some, "group")} of ${count(drives, "drive")}`];
  }));
}

function warned({ warnings }) {
  return warnings.length ? section("Warnings", list(warnings, { kind: "warnings" })) : null;
}

function checks({ checks: lines }) {
  return h("ul", { class: "checks" }, lines.map(({ well, text }) =>
    h("li", { class: well ? "well" : "ill" }, text)));
}

function pairs({ pairs: found, leaks }, data) {
  if (!found.length) return null;
  const all = leaks.near_duplicate_count + leaks.touching_count;
  const boxes = found.map((pair) => pairBox(pair, data));
  const more = boxes.slice(PAIRS);
  return h("div", {},
    h("p", { class: "muted" }, all > found.length
      ? `The ${found.length} nearest of ${number(all)} pairs.` : `${found.length} pairs, the nearest first.`),
    h("div", { class: "pairs" }, boxes.slice(0, PAIRS)),
    more.length ? folded(`${count(more.length, "more pair")}`, h("div", { class: "pairs" }, more)) : null);
}

function pairBox({ kind, left, right, bits, frames }, data) {
  const apart = kind === "touching" ? `${frames} ${frames === 1 ? "frame" : "frames"} apart in a drive`
    : `near-duplicates, ${bits} of 64 bits apart`;
  return h("figure", { class: "panel pair" },
    h("div", { class: "pair-images" }, [left, right].map((side) => h("div", {},
      picture({ ...side, data }), h("span", { class: `subset is-${side.Stage}` }, side.Stage)))),
    h("figcaption", { class: "muted" }, apart));
}

function shares(rows) {
  const cells = rows.map((row) => [row.Class, ...["all", ...SUBSETS].flatMap((name) =>
    [percent(row[`${name}_share`]), number(row[`${name}_images`])])]);
  const columns = ["all", ...SUBSETS].flatMap((name) => [`#${name}`, "#images"]);
  return folded("Shares and images of each class", table("Class shares", ["Class", ...columns], cells));
}

function groups({ groups: rows, leaks }) {
  const shared = new Set(leaks.groups.map((one) => one.group));
  const most = rows.reduce((found, row) => Math.max(found, row.images), 1);
  const drives = [...byDrive(rows.slice(0, GROUPS))].map(([drive, members]) => h("div", { class: "drive-groups" },
    members.some((row) => row.group !== drive) ? h("h3", {}, drive) : null,
    h("ul", { class: "group-list" }, members.map((row) => groupRow(row, most, shared.has(row.group))))));
  const cut = `The first ${GROUPS} of ${count(rows.length, "group")}.`;
  return [rows.length > GROUPS ? h("p", { class: "muted" }, cut) : null, h("div", { class: "drives" }, drives)];
}

function byDrive(rows) {
  const drives = new Map();
  for (const row of rows) {
    if (!drives.has(row.drive)) drives.set(row.drive, []);
    drives.get(row.drive).push(row);
  }
  return drives;
}

function groupRow({ group, subset, images }, most, shared) {
  return h("li", {},
    h("a", { class: shared ? "bad" : "", title: shared ? "stands in more than one subset" : null,
      href: toImages({ group: joinNames([group]), split: subset }) }, group),
    h("span", { class: `subset is-${subset ?? "none"}` }, subset ?? "left out"),
    bar(images / most), h("span", { class: "number" }, number(images)));
}

function dropped(rows) {
  if (!rows.length) return null;
  return section(`${count(rows.length, "image")} left out`,
    h("p", { class: "muted" }, "Frames between two subsets of a drive, so that no two are almost the same."),
    list(rows.map(({ File_Name: name, reason }) => [
      h("a", { href: link({ page: "image", image: name }) }, name), h("span", { class: "muted" }, ` ${reason}`),
    ]), { most: 6, kind: "names" }));
}
