/** The look of all charts: the colours of the style sheet, so that light and dark fit the page around them. */
import { rgb } from "./colors.js";

const AXIS = /^[xy]axis\d*$/;

function variables() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(name).trim();
}

/** A copy of a plotly figure with the page's colours; what the figure says about its own marks is kept. */
export function themed(figure) {
  const color = variables();
  const layout = structuredClone(figure.layout ?? {});
  const text = color("--text"), quiet = color("--muted"), line = color("--line"), panel = color("--panel");
  Object.assign(layout, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true });
  delete layout.width;
  layout.dragmode ??= false;
  layout.font = { ...layout.font, family: "system-ui, sans-serif", size: 12, color: text };
  layout.hoverlabel = { bgcolor: text, bordercolor: text, font: { color: panel, size: 12 }, align: "left" };
  layout.margin = { l: 8, r: 12, t: 8, b: 8, ...layout.margin };
  layout.legend = { ...layout.legend, font: { color: text } };
  for (const key of new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((name) => AXIS.test(name))])) {
    layout[key] = axis(layout[key], { quiet, line });
  }
  return { data: (figure.data ?? []).map((trace) => marks(structuredClone(trace), color)), layout };
}

function axis(given = {}, { quiet, line }) {
  const title = typeof given.title === "string" ? { text: given.title } : given.title;
  return {
    automargin: true, fixedrange: true, zeroline: false, ...given,
    gridcolor: line, linecolor: line, zerolinecolor: line,
    tickfont: { ...given.tickfont, color: quiet },
    ...(title ? { title: { standoff: 8, ...title, font: { ...title.font, color: quiet, size: 12 } } } : {}),
  };
}

// Heat maps go from the page's own background to the accent; one around zero from bad over background to good.
function marks(trace, color) {
  if (trace.type === "heatmap") {
    const around = trace.zmid === 0;
    const names = around ? ["--bad", "--heat-0", "--good"] : ["--heat-0", "--heat-1", "--heat-2", "--heat-3"];
    trace.colorscale = names.map((name, place) => [place / (names.length - 1), color(name)]);
    if (trace.colorbar) trace.colorbar = { outlinewidth: 0, thickness: 10, ...trace.colorbar };
  }
  if (trace.line?.color) trace.line.color = visible(trace.line.color, color);
  for (const key of ["error_x", "error_y"]) if (trace[key]) trace[key].color = color("--text");
  return trace;
}

// A line in a class's colour that hardly differs from the page goes halfway to the colour of the text.
function visible(line, color) {
  const all = [line, color("--bg"), color("--text")];
  if (!all.every((each) => /^#[0-9a-f]{6}$/i.test(each))) return line;
  const [own, page, text] = all.map(rgb);
  const far = Math.max(...own.map((part, place) => Math.abs(part - page[place])));
  return far > 64 ? line : `rgb(${own.map((part, place) => Math.round((part + text[place]) / 2)).join(",")})`;
}
