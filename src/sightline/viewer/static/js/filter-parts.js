/** The parts of the filter rail: each {element, sync()}, where sync brings it in line with the address. */

import { classes, facts, onClasses } from "./colors.js";
import { debounce, h, refill } from "./dom.js";
import { number } from "./format.js";
import { guarded, joinNames, param, params, set, splitNames } from "./state.js";

function section(title, { open = true } = {}, ...children) {
  return h("details", { class: "filter", open }, h("summary", null, title), children);
}

/** Text in the name. */
export function nameFilter() {
  const field = h("input", {
    class: "field",
    type: "search",
    id: "filter-name",
    placeholder: "Part of a file name  ( / )",
    "aria-label": "Part of a file name",
    autocomplete: "off",
    spellcheck: "false",
  });
  const write = debounce(() => set({ name: field.value || null }, { replace: true }), 200);
  field.addEventListener("input", write);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") write.now();
  });
  const sync = () => {
    if (document.activeElement !== field) field.value = param("name") ?? "";
  };
  return { element: h("div", { class: "filter first" }, field), sync };
}

/** Each class: images that have it, or lack it. */
export function classFilters() {
  const list = h("ul", { class: "class-filters" });
  const buttons = [];
  for (const { index, name, color, images } of classes()) {
    const pair = ["has", "lacks"].map((key) => toggleButton(key, name));
    buttons.push(...pair);
    list.append(
      h(
        "li",
        { dataset: { index } },
        h("span", { class: "dot", style: { background: color } }),
        h("span", { class: "name", title: name }, name),
        h("span", { class: "muted number", title: `in ${number(images)} images` }, number(images)),
        h(
          "span",
          { class: "segments" },
          pair.map((each) => each.element),
        ),
      ),
    );
  }
  const sync = () => buttons.forEach((each) => each.sync());
  onClasses(() => {
    if (list.isConnected)
      for (const { index, color } of classes()) dot(list, index)?.style.setProperty("background", color);
  });
  return { element: section("Classes", {}, list), sync };
}

const dot = (list, index) => list.querySelector(`[data-index="${index}"] .dot`);

function toggleButton(key, name) {
  const other = key === "has" ? "lacks" : "has";
  const press = () => {
    const mine = splitNames(param(key));
    const taken = mine.includes(name);
    const rest = splitNames(param(other)).filter((each) => each !== name);
    set({
      [key]: joinNames(taken ? mine.filter((each) => each !== name) : [...mine, name]) || null,
      [other]: joinNames(rest) || null,
    });
  };
  const words = key === "has" ? "with" : "without";
  const element = h(
    "button",
    {
      class: "button small",
      type: "button",
      "aria-label": `Images ${words} ${name}`,
      title: `Images ${words} ${name}`,
      on: { click: press },
    },
    key === "has" ? "with" : "w/o",
  );
  return { element, sync: () => element.setAttribute("aria-pressed", String(splitNames(param(key)).includes(name))) };
}

/** The subsets of the split. */
export function subsets(splits) {
  if (!splits?.length) return null;
  const list = splits.map(({ value, images }) => [
    value ?? "None",
    value === "None" || value === null ? "not in the split" : value,
    images,
  ]);
  return checks("split", "Subset", list, {});
}

/** The groups (drives). */
export function groups(found) {
  if (!found?.length) return null;
  return checks(
    "group",
    `Groups (${number(found.length)})`,
    found.map(({ value, images }) => [String(value), String(value), images]),
    { open: found.length <= 12, search: found.length > 12 },
  );
}

function checks(key, title, entries, { open = true, search = false }) {
  const list = h("ul", { class: "filter-checks" });
  const field = search
    ? h("input", { class: "field", type: "search", placeholder: "Find a group", "aria-label": "Find a group" })
    : null;
  const draw = () => {
    const chosen = new Set(splitNames(param(key)));
    const text = field?.value.toLowerCase() ?? "";
    const fit = entries.filter(([value]) => chosen.has(value) || value.toLowerCase().includes(text));
    const kept = [...fit.filter(([value]) => chosen.has(value)), ...fit.filter(([value]) => !chosen.has(value))].slice(
      0,
      100,
    );
    const shown = search ? kept : entries;
    refill(
      list,
      shown.map((entry) => check(key, entry, chosen)),
      fit.length > 100 && search ? h("li", { class: "muted" }, `${number(fit.length - 100)} more: type to find`) : null,
    );
  };
  field?.addEventListener("input", draw);
  const sync = () => {
    const chosen = new Set(splitNames(param(key)));
    const boxes = [...list.querySelectorAll("input")];
    if (!boxes.length || [...chosen].some((value) => !boxes.some((box) => box.value === value))) draw();
    for (const box of list.querySelectorAll("input")) box.checked = chosen.has(box.value);
  };
  return { element: section(title, { open }, field, list), sync };
}

function check(key, [value, text, images], chosen) {
  const box = h("input", { type: "checkbox", value, prop: { checked: chosen.has(value) } });
  box.addEventListener("change", () => {
    const rest = splitNames(param(key)).filter((each) => each !== value);
    set({ [key]: joinNames(box.checked ? [...rest, value] : rest) || null });
  });
  return h(
    "li",
    null,
    h(
      "label",
      { class: "check" },
      box,
      h("span", { class: "name", title: text }, text),
      h("span", { class: "muted number" }, number(images)),
    ),
  );
}

/** A range of a class's share (in %), or of an IoU; several may hold at once. */
export function ranges(key, title) {
  const percent = key === "share";
  const which = h(
    "select",
    { "aria-label": `${title}: class` },
    percent ? null : h("option", { value: "miou" }, "mIoU"),
    facts().classes.map(({ name }) => h("option", { value: guarded(name) }, name)),
  );
  const [given] = params(key);
  if (given) which.value = given.split(":")[0];
  const [low, high] = [
    ["at least", "min"],
    ["at most", "max"],
  ].map(([words, hint]) =>
    h("input", {
      class: "field",
      type: "number",
      min: 0,
      max: percent ? 100 : 1,
      step: percent ? 0.1 : 0.05,
      placeholder: hint,
      "aria-label": `${title}: ${words}`,
    }),
  );
  const add = (event) => {
    event.preventDefault();
    const bound = (field) =>
      field.value === "" ? "" : String(Number((field.valueAsNumber / (percent ? 100 : 1)).toFixed(6)));
    if (low.value === "" && high.value === "") return low.focus();
    const rest = params(key).filter((each) => each.split(":")[0] !== which.value);
    set({ [key]: [...rest, `${which.value}:${bound(low)}:${bound(high)}`] });
  };
  const sync = () => {
    const own = params(key)
      .find((each) => each.split(":")[0] === which.value)
      ?.split(":");
    const read = (text) => (text ? String(Number((Number(text) * (percent ? 100 : 1)).toFixed(4))) : "");
    [low.value, high.value] = [read(own?.[1]), read(own?.[2])];
  };
  which.addEventListener("change", sync);
  const form = h(
    "form",
    { class: "range-form", novalidate: true, on: { submit: add } },
    which,
    h(
      "div",
      { class: "bounds" },
      low,
      h("span", { class: "muted" }, "–"),
      high,
      percent ? h("span", { class: "muted" }, "%") : null,
      h("button", { class: "button small" }, "Set"),
    ),
  );
  return { element: section(title, {}, form), sync };
}

/** A range of brightness, 0 to 255. */
export function brightness(found) {
  const [least, most] = found ?? [0, 255];
  const [low, high] = [
    ["at least", least],
    ["at most", most],
  ].map(([words, value]) =>
    h("input", {
      class: "field",
      type: "number",
      min: 0,
      max: 255,
      step: 1,
      placeholder: number(value),
      "aria-label": `Brightness: ${words}`,
    }),
  );
  const write = (event) => {
    event.preventDefault();
    set({ bright: low.value || high.value ? `${low.value}:${high.value}` : null });
  };
  const sync = () => ([low.value, high.value] = (param("bright") ?? ":").split(":"));
  const form = h(
    "form",
    { class: "range-form", on: { submit: write } },
    h(
      "div",
      { class: "bounds" },
      low,
      h("span", { class: "muted" }, "–"),
      high,
      h("button", { class: "button small" }, "Set"),
    ),
  );
  return { element: section("Brightness (0 to 255)", {}, form), sync };
}

/** Flagged images. */
export function flagged(kinds) {
  const select = h(
    "select",
    { class: "field", "aria-label": "Flags" },
    h("option", { value: "" }, "flagged or not"),
    h("option", { value: "any" }, "flagged in any way"),
    kinds.map((kind) => h("option", { value: kind }, `flagged: ${kind}`)),
  );
  select.addEventListener("change", () => set({ flag: select.value || null }));
  return {
    element: section("Flags", {}, select),
    sync: () => {
      select.value = param("flag") ?? "";
    },
  };
}

/** An expression in SQL, for those who know it. */
export function expression(columns) {
  const field = h("textarea", {
    class: "field sql",
    rows: 3,
    spellcheck: "false",
    autocomplete: "off",
    "aria-label": "SQL expression",
    placeholder: "Brightness < 60 AND miou < 0.3",
  });
  const apply = (event) => {
    event?.preventDefault();
    set({ where: field.value.trim() || null });
  };
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) apply(event);
  });
  const names = h(
    "details",
    { class: "names" },
    h("summary", null, "Columns"),
    h(
      "p",
      null,
      (columns ?? []).map((name) =>
        h("button", { class: "column-name", type: "button", on: { click: () => insert(field, name) } }, name),
      ),
    ),
  );
  const form = h(
    "form",
    { on: { submit: apply } },
    field,
    h(
      "div",
      { class: "bounds" },
      h("span", { class: "muted" }, "read-only, Enter applies"),
      h("button", { class: "button small" }, "Apply"),
    ),
    names,
  );
  return {
    element: section("SQL expression", { open: Boolean(param("where")) }, form),
    sync: () => {
      if (document.activeElement !== field) field.value = param("where") ?? "";
    },
  };
}

function insert(field, name) {
  const quoted = /^[a-z_]\w*$/i.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
  field.setRangeText(quoted, field.selectionStart, field.selectionEnd, "end");
  field.focus();
}
