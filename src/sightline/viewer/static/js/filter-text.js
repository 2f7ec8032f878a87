/** Filters in words, one by one, each with what takes it away. */

import { classes } from "./colors.js";
import { filterKeys, guarded, param, params, splitNames, unguarded } from "./state.js";

const LISTS = { has: "with", lacks: "without", split: "subset", group: "group" };

/** [{key, value, text, patch}] for every filter that is set; `patch` handed to `set` removes it. */
export function active() {
  return filterKeys.flatMap((key) => {
    if (key in LISTS) return listed(key);
    return params(key)
      .filter(Boolean)
      .map((value) => ({ key, value, text: words(key, value), patch: without(key, value) }));
  });
}

/** What removes one value of a filter. */
export function without(key, value) {
  const rest = params(key).filter((each) => each !== value);
  return { [key]: rest.length ? rest : null };
}

/** Remove every filter. */
export const nothing = () => Object.fromEntries(filterKeys.map((key) => [key, null]));

/** A filter as the server names it {param, value} in words. */
export function words(key, value) {
  if (key in LISTS) return `${LISTS[key]} ${splitNames(value).join(", ")}`;
  return (WORDS[key] ?? ((each) => `${key} ${each}`))(value);
}

const WORDS = {
  share: (value) =>
    range(
      value,
      (name) => `share of ${name}`,
      (x) => `${Number((100 * x).toFixed(2))}%`,
    ),
  iou: (value) =>
    range(
      value,
      (name) => (name === "miou" ? "mIoU" : `IoU of ${name}`),
      (x) => x,
    ),
  bright: (value) =>
    range(
      `:${value}`,
      () => "brightness",
      (x) => x,
    ),
  name: (value) => `name has “${value}”`,
  flag: (value) => (value === "any" ? "flagged" : `flagged ${value}`),
  where: (value) => `SQL: ${value}`,
  cell: (value) => cell(value),
};

function range(value, title, read) {
  const [name, low, high] = value.split(":");
  const what = title(unguarded(name));
  if (low && high) return `${what} ${read(low)} to ${read(high)}`;
  return low ? `${what} ≥ ${read(low)}` : `${what} ≤ ${read(high)}`;
}

function cell(value) {
  const [target, prediction] = value.split(",").map((index) => classes()[Number(index)]?.name ?? index);
  return target === prediction ? `${target} predicted right` : `${target} predicted as ${prediction}`;
}

function listed(key) {
  const names = splitNames(param(key));
  return names.map((name) => {
    const rest = names
      .filter((each) => each !== name)
      .map(guarded)
      .join(",");
    const text = key === "split" && name === "None" ? "not in the split" : `${LISTS[key]} ${name}`;
    return { key, value: name, text, patch: { [key]: rest || null } };
  });
}
