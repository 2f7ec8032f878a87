/** The help dialog: the keys, the colours, what a link holds. */

import { classes, facts } from "./colors.js";
import { h } from "./dom.js";
import { number } from "./format.js";
import { enabled, setEnabled } from "./keys.js";

const KEYS = [
  ["← → ↑ ↓ or j k", "move: to the next or previous image, row or pixel"],
  ["Enter", "open the image"],
  ["Esc", "back: close, or return to where one came from"],
  ["1 … 9", "switch a class on or off"],
  ["Shift + 1 … 9", "show a class alone, and all again"],
  ["[ ]", "opacity of the masks"],
  ["g p e", "ground truth, prediction, error map"],
  ["b", "blink: one in the place of the other"],
  ["o", "lines between classes on or off, on the page of an image"],
  ["w", "worst IoU first"],
  ["f", "flag the image"],
  ["+ − 0", "zoom in, out, whole image"],
  ["/", "filter by name"],
  ["?", "this help"],
];

/** Open it; a second call brings the same one. */
export function showHelp() {
  const close = h("button", { class: "button", type: "button", on: { click: () => dialog.close() } }, "Close");
  const dialog = h(
    "dialog",
    { class: "dialog help", "aria-labelledby": "help-title", on: { close: () => dialog.remove() } },
    h("h2", { id: "help-title" }, "Keys"),
    keyTable(),
    switchOff(),
    h("h2", null, "Colours"),
    colors(),
    h("h2", null, "Links"),
    h(
      "p",
      null,
      "The address holds the whole view: dataset, runs, filters, classes, colours, opacity. Send it, and the next person sees the same.",
    ),
    h("div", { class: "actions" }, close),
  );
  document.body.append(dialog);
  dialog.showModal();
}

function keyTable() {
  const keyed = (keys) =>
    keys
      .split(" ")
      .map((part) => (/^(or|…|\+|to)$/.test(part) && keys !== "+ − 0" ? ` ${part} ` : h("kbd", null, part)));
  return h(
    "table",
    { class: "keys" },
    h(
      "tbody",
      null,
      KEYS.map(([keys, text]) => h("tr", null, h("th", { scope: "row" }, keyed(keys)), h("td", null, text))),
    ),
  );
}

function switchOff() {
  const box = h("input", { type: "checkbox", prop: { checked: enabled() } });
  box.addEventListener("change", () => setEnabled(box.checked));
  return h("label", { class: "check" }, box, "Single keys act (switch off when you dictate or use a switch)");
}

/** Differences are told rounded down: no more than there is. */
const told = (difference) => number(Math.floor(10 * difference) / 10, 1);

function colors() {
  const palette = Object.entries(facts().palette ?? {}).filter(([, value]) => typeof value === "number");
  const each = palette.map(([vision, value]) => `${vision === "none" ? "normal vision" : vision} ${told(value)}`);
  const edited = classes().some(({ color, original }) => color !== original);
  const hint = edited
    ? "It is that of the dataset, before you changed colours in the legend."
    : "Under 10 it gets hard: give one of the two another colour in the legend.";
  const least = h("strong", null, `ΔE ${told(Math.min(...palette.map(([, value]) => value)))}`);
  const measured = ["The smallest difference between two colours of the palette is ", least];
  const words =
    "Classes are also told apart without colour: by a line between them, by their name under the pointer, " +
    "and by switching one off or alone. The error map hatches wrong pixels in the colour of the class that was predicted.";
  return [
    palette.length ? h("p", null, measured, ` (CIEDE2000; ${each.join(", ")}). ${hint}`) : null,
    h("p", null, words),
  ];
}
