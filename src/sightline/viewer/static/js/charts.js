/** Charts: plotly.js fetched when the first chart is drawn, themed by the style sheet, answering to clicks. */
import { h } from "./dom.js";
import { getJson } from "./api.js";
import { link, set } from "./state.js";
import { target } from "./leads.js";
import { cease, fill } from "./loading.js";
import { themed } from "./chart-theme.js";
import { valuesOf } from "./chart-table.js";

const CONFIG = { displayModeBar: false, responsive: false, showTips: false, doubleClick: false, plotlyServerURL: "" };
const dark = matchMedia("(prefers-color-scheme: dark)");
let library;

function plotly() {
  library ??= new Promise((resolve, reject) => {
    const script = h("script", { src: "/static/plotly.js" });
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => {
      library = undefined;
      script.remove();
      reject(new Error("plotly.js could not be loaded. Is the server still running?"));
    });
    document.head.append(script);
  });
  return library;
}

function follow(event) {
  const custom = event.points?.find((point) => point.customdata?.page)?.customdata;
  if (!custom) return;
  const pressed = event.event ?? {};
  if (pressed.metaKey || pressed.ctrlKey) window.open(link(target(custom)), "_blank", "noopener");
  else set(target(custom));
}

/**
 * Draw a plotly figure into an element and keep it fitting: to the element's width, and to light and dark.
 * Resolves to a function that takes the chart away.
 */
export async function draw(element, figure, { label }) {
  const Plotly = await plotly();
  const plot = h("div", { class: "plot", role: "img", "aria-label": label });
  const paint = () => { const { data, layout } = themed(figure); return Plotly.react(plot, data, layout, CONFIG); };
  element.replaceChildren(plot);
  await paint();
  plot.classList.toggle("answers", valuesOf(figure).some((value) => value.custom));
  plot.on("plotly_click", follow);
  const fit = new ResizeObserver(() => { if (plot.isConnected && plot.offsetWidth) Plotly.Plots.resize(plot); });
  fit.observe(element);
  dark.addEventListener("change", paint);
  return () => { fit.disconnect(); dark.removeEventListener("change", paint); Plotly.purge(plot); };
}

/**
 * A chart with its heading: fetched from `/api/figures/NAME` when it comes into view, its values as a table below.
 * `query` are the parameters of the request; `label` says what it shows to those who do not see it.
 */
export function chart(name, { title, note, query, label, height = 240, heading = "h3" }) {
  const body = h("div", { class: "chart-body" });
  body.style.setProperty("--chart-height", `${height}px`);
  const box = h("figure", { class: "chart", dataset: { figure: name } },
    h("figcaption", {}, h(heading, {}, title), note ? h("p", { class: "muted" }, note) : null), body);
  let remove = () => {};
  let gone = false;
  const show = async (figure) => {
    const place = h("div", { class: "chart-scroll" });
    body.replaceChildren(place, values(figure, title));
    const taken = await draw(place, figure, { label: figure.alt ?? label ?? title });
    if (gone) taken(); else remove = taken;
  };
  const seen = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting) return;
    seen.disconnect();
    fill(body, (signal) => getJson(`/api/figures/${name}`, query, { signal }), show);
  }, { rootMargin: "300px" });
  seen.observe(box);
  box.remove_chart = () => { gone = true; seen.disconnect(); cease(body); remove(); };
  return box;
}

/** Take away every chart below an element: plotly keeps what it was not told to let go. */
export function clear(root) {
  for (const box of root.querySelectorAll(".chart")) box.remove_chart?.();
}

// The values of a chart for keyboard and screen reader; a row leads where a click on its point would.
function values(figure, title) {
  const fold = h("details", { class: "values" }, h("summary", {}, "Values as a table"));
  fold.addEventListener("toggle", () => {
    if (fold.open && fold.childElementCount === 1) fold.append(table(valuesOf(figure), title));
  });
  return fold;
}

const MOST = 400;

function table(rows, title) {
  const series = rows.some((row) => row.series);
  const cells = (row) => [series ? h("td", {}, row.series) : null,
    h("td", {}, row.custom?.page ? h("a", { href: link(target(row.custom)) }, row.label) : row.label),
    h("td", { class: "number" }, row.value)];
  return h("div", { class: "scroll" },
    h("table", { class: "table" },
      h("caption", { class: "visually-hidden" }, title),
      h("thead", {}, h("tr", {}, series ? h("th", { scope: "col" }, "Series") : null,
        h("th", { scope: "col" }, "What"), h("th", { scope: "col", class: "number" }, "Value"))),
      h("tbody", {}, rows.slice(0, MOST).map((row) => h("tr", {}, cells(row))))),
    rows.length > MOST ? h("p", { class: "muted" }, `The first ${MOST} of ${rows.length} values.`) : null);
}
