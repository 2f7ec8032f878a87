/** Report: the report of a run in a frame of its own; one written for the selection; the selection as a file. */
import { announce, command, h, refill } from "../dom.js";
import { ApiError, getJson, postJson, url } from "../api.js";
import { bytes, count, number } from "../format.js";
import { all, filterKeys, filters, link, onChange, text } from "../state.js";
import { fill } from "../loading.js";
import { pageBody } from "../blocks.js";
import { noRun } from "./run.js";

export const title = "Report";
export const rail = true;
export const updates = true;

export async function show(root, { catalog, data, a, b, rail }) {
  const runs = { data, a, b };
  const frame = h("div", { class: "report-frame" });
  const selection = h("div", { class: "panel selection" });
  root.replaceChildren(pageBody(title, selection, a ? frame : noRun({ catalog, data })));
  const recount = () => fill(selection, (signal) => chosen(runs, signal), (found) => {
    rail?.matched(found.matched, found.total);
    return tools(found, runs, frame);
  });
  recount();
  if (a) fill(frame, (signal) => written(a, signal), (at) => (at ? framed(at, `Report of ${a}`) : unwritten(a)));
  return onChange((keys) => { if (filterKeys.some((key) => keys.has(key))) recount(); });
}

const query = () => text(new URLSearchParams(filters()));

async function chosen(runs, signal) {
  const known = Object.entries({ ...runs, limit: 1 }).filter(([, value]) => value);
  return getJson("/api/images", new URLSearchParams([...known, ...filters()]), { signal });
}

// The address of the report of a run, null where there is none. A frame shows no error of the server's: ask before.
async function written(a, signal) {
  const { evaluations } = await getJson("/api/catalog", {}, { signal });
  if (!evaluations.find(({ spec }) => spec === a)?.report) return null;
  const address = url("/report", { a });
  const response = await fetch(address, { method: "HEAD", signal });
  if (!response.ok) await getJson(address, {}, { signal });
  return address;
}

function unwritten(a) {
  return h("div", { class: "empty" },
    h("h2", {}, `No report of ${a} yet`), command(`sightline report --evaluation ${a}`),
    h("p", { class: "muted" }, "Then reload this page."));
}

function framed(address, name) {
  return h("div", { class: "framed" },
    h("div", { class: "framed-head" }, h("strong", {}, name), outside(address, "Open in a tab of its own")),
    h("iframe", { src: address, title: name, sandbox: "allow-scripts allow-popups", loading: "lazy" }));
}

const outside = (href, words) => h("a", { href, target: "_blank", rel: "noopener" }, words);

function tools({ matched, total }, runs, frame) {
  const outcome = h("div", { class: "outcome", role: "status" });
  const some = filters().length;
  const words = some ? `${count(matched, "image")} of ${number(total)} selected` : `All ${count(total, "image")}`;
  return h("div", { class: "selection-row" },
    h("div", {}, h("h2", {}, "Selection"),
      h("p", { class: "muted" }, words, " · ", h("a", { href: link({ page: "images" }) }, "Show the images"))),
    h("div", { class: "selection-tools" },
      runs.a ? action("Write a report of them", () => write(runs, frame), outcome, !matched) : null,
      action("Export them as one file", () => estimate(runs, outcome), outcome, !matched)),
    outcome);
}

async function write({ data, a }, frame) {
  const { url: address, images } = await postJson("/api/report", { a, data, filters: query() });
  frame.replaceChildren(framed(address, `Report of ${a}, ${count(images, "image")}`));
  return [`Written for ${count(images, "image")}: `, outside(address, address)];
}

async function estimate(runs, outcome) {
  const body = { ...runs, query: text(all()) };
  const { images, bytes: size } = await postJson("/api/export", body);
  return [`${count(images, "image")}, about ${bytes(size)}. `, action("Write the file", () => save(body), outcome)];
}

async function save(body) {
  const { url: address, bytes: size } = await postJson("/api/export", { ...body, write: true });
  return [h("a", { href: address, download: true }, "Save the file"), ` (${bytes(size)})`];
}

// A button whose work takes a while: busy meanwhile, its outcome or its error in words.
function action(name, work, outcome, disabled = false) {
  const button = h("button", { class: "button", type: "button", disabled }, name);
  button.addEventListener("click", async () => {
    button.disabled = true;
    refill(outcome, h("span", { class: "muted" }, `${name} …`));
    try {
      refill(outcome, await work());
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      refill(outcome, h("p", { class: "bad" }, error.message), error.command ? command(error.command) : null);
    } finally {
      button.disabled = false;
      announce(outcome.textContent);
    }
  });
  return button;
}
