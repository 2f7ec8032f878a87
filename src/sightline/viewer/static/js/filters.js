/** The filter rail: what may be asked of the images, with counts, and what is asked now. */

import { getJson } from "./api.js";
import { announce, h, refill } from "./dom.js";
import { active, nothing } from "./filter-text.js";
import { brightness, classFilters, expression, flagged, groups, nameFilter, ranges, subsets } from "./filter-parts.js";
import { number } from "./format.js";
import { filterKeys, onChange, set } from "./state.js";

/** Build the rail into `root`. Returns {matched(n, total): say how many are left, leave()}. */
export function mountFilters(root, context) {
  const counted = h("p", { class: "muted counted", "aria-live": "polite" });
  const clear = h(
    "button",
    { class: "button small", type: "button", on: { click: () => set(nothing()) } },
    "Clear all",
  );
  const chips = h("ul", { class: "active-filters", "aria-label": "Active filters" });
  const body = h(
    "div",
    { class: "filter-body" },
    Array.from({ length: 6 }, () => h("div", { class: "skeleton" })),
  );
  refill(root, h("div", { class: "rail-head" }, h("h2", null, "Filters"), clear), counted, chips, body);
  let parts = [];
  const sync = () => {
    const now = active();
    clear.hidden = !now.length;
    refill(chips, now.map(chip));
    for (const part of parts) part.sync();
  };
  const fetched = new AbortController();
  const fill = async () => {
    const options = await getJson("/api/options", { data: context.data, a: context.a }, { signal: fetched.signal });
    parts = build(options, context);
    refill(
      body,
      parts.map((part) => part.element),
    );
    sync();
  };
  fill().catch((error) => {
    if (error.name !== "AbortError") refill(body, h("p", { class: "error-box" }, error.message));
  });
  const off = onChange((keys) => {
    if (filterKeys.some((key) => keys.has(key))) sync();
  });
  sync();
  return {
    leave() {
      fetched.abort();
      off();
    },
    matched(n, total) {
      counted.textContent =
        n === null ? " " : n === total ? `${number(total)} images` : `${number(n)} of ${number(total)} images`;
    },
  };
}

function build(options, context) {
  const { a } = context;
  return [
    nameFilter(),
    classFilters(),
    subsets(options.splits),
    ...(a ? [ranges("iou", "IoU of run A")] : []),
    ranges("share", "Pixel share"),
    brightness(options.brightness),
    groups(options.groups),
    flagged(context.catalog.flag_kinds),
    expression(options.columns),
  ].filter(Boolean);
}

function chip({ text, patch }) {
  const remove = () => {
    set(patch);
    announce(`Removed: ${text}`);
  };
  return h(
    "li",
    null,
    h(
      "button",
      { class: "active-filter", type: "button", title: `Remove: ${text}`, on: { click: remove } },
      h("span", null, text),
      h("span", { "aria-hidden": "true" }, "×"),
      h("span", { class: "visually-hidden" }, "remove"),
    ),
  );
}

/** Put the focus into the field for the name. */
export function focusFilter() {
  const field = document.getElementById("filter-name");
  field?.focus();
  field?.select();
}
