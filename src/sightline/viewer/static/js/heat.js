/** A small heat map of one class: its places painted straight onto a canvas, its middle told in words. */
import { h } from "./dom.js";
import { getJson } from "./api.js";
import { rgb } from "./colors.js";
import { percent } from "./format.js";

/** A button with the heat map of a class, fetched when it comes into view; `choose` is called on a click. */
export function heatTile(one, data, choose) {
  const canvas = h("canvas", { width: 32, height: 18, "aria-hidden": "true" });
  const words = h("span", { class: "muted" }, "\u00a0");
  const tile = h("button", { type: "button", class: "heat panel", "aria-pressed": "false", on: { click: choose } },
    canvas, h("span", { class: "heat-name" }, one.name), words);
  const seen = new IntersectionObserver(async ([entry]) => {
    if (!entry.isIntersecting) return;
    seen.disconnect();
    try {
      const figure = await getJson("/api/figures/heat", { data, class: one.index });
      words.textContent = paint(canvas, upright(figure), one.color);
    } catch (error) {
      Object.assign(words, { textContent: "cannot be shown", title: error.message });
    }
  }, { rootMargin: "200px" });
  seen.observe(tile);
  return tile;
}

// Rows of the heat map from the top of the picture, whichever way the figure's axis goes.
function upright({ data, layout }) {
  const z = data.find((trace) => trace.type === "heatmap")?.z ?? [];
  const range = layout?.yaxis?.range;
  const down = layout?.yaxis?.autorange === "reversed" || (range && range[0] > range[1]);
  return down ? z : [...z].reverse();
}

function paint(canvas, z, color) {
  const values = z.flat().map((value) => value ?? 0);
  const most = Math.max(0, ...values);
  if (!z.length || !most) return "never seen";
  canvas.width = z[0].length;
  canvas.height = z.length;
  const [red, green, blue] = rgb(color);
  const pixels = new ImageData(canvas.width, canvas.height);
  const alpha = (value) => Math.round(255 * (value / most) ** 0.7);
  values.forEach((value, place) => pixels.data.set([red, green, blue, alpha(value)], 4 * place));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return `${middle(z)}, up to ${percent(most)}`;
}

// Where the middle of the mass lies.
function middle(z) {
  let mass = 0, down = 0, across = 0;
  z.forEach((row, y) => row.forEach((value, x) => {
    mass += value ?? 0;
    down += (value ?? 0) * ((y + 0.5) / z.length);
    across += (value ?? 0) * ((x + 0.5) / row.length);
  }));
  const third = (share, names) => names[Math.min(2, Math.floor(share * 3))];
  const place = `${third(down / mass, ["top", "", "bottom"])} ${third(across / mass, ["left", "", "right"])}`.trim();
  return place || "middle";
}
