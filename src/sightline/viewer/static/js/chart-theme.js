/** The look of all charts: colours from the style sheet's variables, so that light and dark fit the page around them. */

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
  layout.hoverlabel = { bgcolor: text, bordercolor: text, font: { color: panel, size: 12 }, align: "left", namelength: -1 };
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
  for (const key of ["error_x", "error_y"]) if (trace[key]) trace[key].color = color("--text");
  return trace;
}
