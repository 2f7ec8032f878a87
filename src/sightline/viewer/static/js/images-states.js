/** What the Images page shows in the place of images: nothing matches, nothing is there, something failed. */

import { command, h } from "./dom.js";
import { active, nothing, words } from "./filter-text.js";
import { count, number } from "./format.js";
import { link, params, splitNames } from "./state.js";

/** No image passes the filters: which one excludes them all, and a click that removes it. */
export function emptyState({ total, empty }, context) {
  if (!total)
    return h(
      "div",
      { class: "empty" },
      h("h2", null, "This dataset version holds no images."),
      h("p", null, "Read a folder of images and masks in:"),
      command("sightline ingest --data DIR"),
    );
  const offers = [...(empty ?? [])].sort((a, b) => b.without - a.without);
  const decisive = offers.filter((each) => each.without > 0);
  const lead =
    offers.length === 1
      ? "One filter excludes every image."
      : decisive.length
        ? "Each image fails a filter. Without one of these there are some:"
        : "Removing one filter is not enough: two of them or more exclude every image.";
  return h(
    "div",
    { class: "empty", role: "status" },
    h("h2", null, `No image of ${number(total)} passes the filters`),
    h("p", { class: "muted" }, lead),
    h("ul", { class: "offers" }, (decisive.length ? decisive : offers).map(offer)),
    h("a", { class: "button", href: link(nothing()) }, "Clear all filters"),
  );
}

function offer({ param, value, without }) {
  return h(
    "li",
    null,
    h(
      "a",
      { class: "button", href: link(removal(param, value)) },
      "Remove ",
      h("strong", null, words(param, value ?? params(param).join(", "))),
    ),
    h("span", { class: "muted number" }, `leaves ${count(without, "image")}`),
  );
}

/** The server names a whole parameter, one of its values, or one name in a list. */
function removal(param, value) {
  const all = params(param);
  if (value === null || value === undefined || all.length < 2) {
    const single = active().filter((each) => each.key === param);
    const named = single.find((each) => each.value === value);
    return named && splitNames(all[0]).length > 1 && !all.includes(value) ? named.patch : { [param]: null };
  }
  return { [param]: all.filter((each) => each !== value) };
}

/** The query failed, most often an expression that DuckDB does not understand. */
export function failedState(error, retry) {
  const sql = params("where").length
    ? h("a", { class: "button", href: link({ where: null }) }, "Remove the SQL expression")
    : null;
  const rest = active().length ? h("a", { class: "button", href: link(nothing()) }, "Clear all filters") : null;
  return h(
    "div",
    { class: "error-box", role: "alert" },
    h("p", null, error.message),
    error.command ? command(error.command) : null,
    h(
      "div",
      { class: "actions" },
      h("button", { class: "button", type: "button", on: { click: retry } }, "Try again"),
      sql,
      rest,
    ),
  );
}

/** The command that makes predictions of a version of a dataset. */
export const toPredict = (data) => `sightline split --raw ${data} && sightline train && sightline evaluate`;

/** There is no run to show predictions of. */
export function noPredictions({ catalog, data }) {
  const some = catalog.evaluations.some((each) => each.raw === data);
  return h(
    "div",
    { class: "notice" },
    some
      ? "No run A is chosen: choose one above to see predictions and errors."
      : [
          "No predictions of this dataset version yet. Make them:",
          command(toPredict(data)),
        ],
  );
}

/** The store holds no dataset. */
export function noData() {
  return h(
    "div",
    { class: "empty" },
    h("h2", null, "No dataset yet"),
    h("p", null, "Read a folder of images and masks in, then reload this page:"),
    command("sightline ingest --data DIR"),
    h("p", { class: "muted" }, "Or make a synthetic one to look around:"),
    command("sightline sample scenes && sightline run --data scenes"),
  );
}
