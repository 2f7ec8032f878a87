/** Report: the report of a run in a frame of its own; one written for the selection; the selection as a file. */
import { announce, command, h, refill } from "../dom.js";
import { ApiError, getJson, postJson, url } from "../api.js";
import { bytes, count, number } from "../format.js";
import { all, filterKeys, filters, link, onChange, text } from "../state.js";
import { fill } from "../loading.js";
import { noRun } from "./run.js";

export const title = "Report";
export const rail = true;
export const updates = true;

export async function show(root, { data, a, b }) {
  const frame = h("div", { class: "report-frame" });
  const selection = h("div", { class: "panel selection" });
  root.replaceChildren(h("div", { class: "page-body report" }, selection, a ? frame : noRun()));
  const recount = () => fill(selection, (signal) => chosen({ data, a, b }, signal), (images) => tools(images, { data, a, b }, frame));
  recount();
  if (a) fill(frame, (signal) => ready(url("/report", { a }), signal), (address) => framed(address, `Report of ${a}`));
  return onChange((keys) => { if ([...keys].some((key) => FILTERS.has(key))) recount(); });
}

const FILTERS = new Set(filterKeys);

const query = () => text(new URLSearchParams(filters()));

async function chosen({ data, a, b }, signal) {
  const search = new URLSearchParams([["data", data], ...(a ? [["a", a]] : []), ...(b ? [["b", b]] : []), ...filters(), ["limit", "1"]]);
  return getJson("/api/images", search, { signal });
}

// A frame shows no error of the server's; ask before.
async function ready(address, signal) {
  const response = await fetch(address, { method: "HEAD", signal });
  if (!response.ok) await getJson(address, {}, { signal });
  return address;
}

function framed(address, name) {
  return h("div", { class: "framed" },
    h("div", { class: "framed-head" }, h("strong", {}, name), h("a", { href: address, target: "_blank", rel: "noopener" }, "Open in a tab of its own")),
    h("iframe", { src: address, title: name, sandbox: "allow-scripts allow-popups", loading: "lazy" }));
}

function tools({ matched, total }, { data, a, b }, frame) {
  const outcome = h("div", { class: "outcome", role: "status" });
  const words = filters().length ? `${count(matched, "image")} of ${number(total)} selected` : `All ${count(total, "image")}: no filter is set`;
  const write = async () => {
    const { url: address, images } = await postJson("/api/report", { a, data, filters: query() });
    frame.replaceChildren(framed(address, `Report of ${a}, ${count(images, "image")}`));
    return [`Written for ${count(images, "image")}: `, h("a", { href: address, target: "_blank", rel: "noopener" }, address)];
  };
  const estimate = async () => {
    const body = { query: text(all()), data, a, b };
    const told = await postJson("/api/export", body);
    return [`${count(told.images, "image")}, about ${bytes(told.bytes)}. `, action("Write the file", () => save(body), outcome)];
  };
  return h("div", { class: "selection-row" },
    h("div", {}, h("h2", {}, "Selection"), h("p", { class: "muted" }, words, " · ", h("a", { href: link({ page: "images" }) }, "Show the images"))),
    h("div", { class: "selection-tools" },
      a ? action("Write a report of them", write, outcome, !matched) : null,
      action("Export them as one file", estimate, outcome, !matched)),
    outcome);
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
      refill(outcome, h("span", { class: "bad" }, error.message), error.command ? command(error.command) : null);
    } finally {
      button.disabled = false;
      announce(outcome.textContent);
    }
  });
  return button;
}
