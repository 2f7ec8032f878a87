/** The class legend: colour, on or off, solo, share of pixels; one slider of opacity. */

import { allOn, classes, facts, isSolo, onClasses, opacity, recolor, setOpacity, solo, toggle } from "./colors.js";
import { announce, h, refill } from "./dom.js";
import { number, percent } from "./format.js";

/** Build the legend into `root` and keep it up to date. */
export function mountLegend(root) {
  const chips = h("div", { class: "chips", role: "toolbar", "aria-label": "Classes", on: { keydown: walk } });
  const slider = h("input", {
    type: "range",
    min: 0,
    max: 100,
    step: 5,
    id: "opacity",
    "aria-label": "Opacity of the masks",
  });
  const shown = h("output", { class: "number", for: "opacity" });
  slider.addEventListener("input", () => setOpacity(Number(slider.value)));
  refill(
    root,
    chips,
    h(
      "label",
      { class: "opacity", title: "Opacity of the masks: [ and ]" },
      h("span", { "aria-hidden": "true" }, "◐"),
      slider,
      shown,
    ),
  );
  let drawn = "";
  const update = () => {
    const identity = JSON.stringify(facts().classes);
    if (identity !== drawn) refill(chips, facts().classes.map(chip), rest(), reset());
    drawn = identity;
    paint(chips);
    slider.value = Math.round(100 * opacity());
    shown.textContent = `${slider.value}%`;
  };
  onClasses(update);
  update();
}

/** One step of opacity: +1 or −1. */
export function stepOpacity(step) {
  setOpacity(100 * opacity() + 10 * step);
  announce(`Opacity ${Math.round(100 * opacity())}%`);
}

/** What a digit does: toggle the nth class, or show it alone. */
export function digit(n, alone) {
  const each = classes()[n - 1];
  if (!each) return false;
  (alone ? solo : toggle)(each.index);
  const now = classes()[n - 1];
  announce(
    alone ? (isSolo(each.index) ? `${each.name} alone` : "All classes on") : `${each.name} ${now.on ? "on" : "off"}`,
  );
  return true;
}

function chip({ index, name, share, images, color }, place) {
  const key = place < 9 ? ` (key ${place + 1})` : "";
  const what = `${name}: ${percent(share)} of the pixels, in ${number(images)} images`;
  const swatch = h("input", {
    type: "color",
    class: "swatch",
    value: color,
    title: `Colour of ${name}`,
    "aria-label": `Colour of ${name}`,
  });
  swatch.addEventListener("input", () => recolor(index, swatch.value));
  const named = h(
    "button",
    { class: "named", type: "button", title: `${what}. Click: on or off${key}`, on: { click: () => toggle(index) } },
    h("span", { class: "name" }, name),
    h("span", { class: "share number" }, percent(share)),
  );
  const alone = h(
    "button",
    {
      class: "solo",
      type: "button",
      title: `Only ${name}`,
      "aria-label": `Only ${name}`,
      on: { click: () => solo(index) },
    },
    "◎",
  );
  for (const part of [swatch, named, alone]) part.tabIndex = -1;
  return h("div", { class: "chip", role: "group", "aria-label": name, dataset: { index } }, swatch, named, alone);
}

function rest() {
  const share = facts().ignored_share;
  if (!share) return null;
  const title = `Pixels that no class is given to (mask value ${facts().ignore_index}); never painted, never counted as wrong`;
  return h(
    "span",
    { class: "chip ignored", title },
    h("span", { class: "swatch hatched" }),
    h(
      "span",
      { class: "named" },
      h("span", { class: "name" }, "ignored"),
      h("span", { class: "share number" }, percent(share)),
    ),
  );
}

function reset() {
  return h(
    "button",
    { class: "button small all", type: "button", tabindex: -1, title: "All classes on", on: { click: allOn } },
    "All",
  );
}

function paint(chips) {
  const now = new Map(classes().map((each) => [String(each.index), each]));
  for (const chip of chips.querySelectorAll("[data-index]")) {
    const each = now.get(chip.dataset.index);
    const [swatch, named, alone] = chip.children;
    if (swatch.value !== each.color) swatch.value = each.color;
    chip.classList.toggle("off", !each.on);
    named.setAttribute("aria-pressed", each.on);
    alone.setAttribute("aria-pressed", isSolo(each.index));
  }
  const all = chips.querySelector(".all");
  if (all) all.disabled = classes().every((each) => each.on);
  const stops = [...chips.querySelectorAll("button:enabled, input")];
  if (stops.length && !stops.some((stop) => stop.tabIndex === 0)) (stops[1] ?? stops[0]).tabIndex = 0;
}

/** Arrows walk along the legend, which is one stop of the Tab key. */
function walk(event) {
  const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
  if (!(event.key in steps)) return;
  const stops = [...event.currentTarget.querySelectorAll("button:enabled, input")];
  const at = stops.indexOf(event.target);
  const to = stops[Math.min(stops.length - 1, Math.max(0, at + steps[event.key]))];
  for (const stop of stops) stop.tabIndex = stop === to ? 0 : -1;
  to.focus();
  event.preventDefault();
}
