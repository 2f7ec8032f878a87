/** The points of a plotly figure as rows of text: what a chart says, for those who read it instead. */

const ENTITIES = { lt: "<", gt: ">", amp: "&", quot: '"', "#36": "$", "#x27": "'", "#39": "'", nbsp: "\u00a0" };

/** The text that plotly's little HTML shows: tags left out, entities as the characters they stand for. */
export function plain(markup) {
  return String(markup ?? "")
    .replace(/<br\s*\/?>/gi, ", ")
    .replace(/<\/?(b|i|em|strong|sub|sup|span|a)\b[^>]*>/gi, "")
    .replace(/&(#?\w+);/g, (whole, name) => ENTITIES[name] ?? whole);
}

/** One `{series, label, value, custom}` for each point, in the order drawn; a heat map's largest first. */
export function valuesOf(figure) {
  const layout = figure.layout ?? {};
  const named = (figure.data ?? []).filter((trace) => trace.name).length > 1;
  return (figure.data ?? []).flatMap((trace) => {
    const rows = trace.type === "heatmap" ? cells(trace, layout) : points(trace, layout);
    return rows.map((row) => ({ ...row, value: alone(row), series: named ? plain(trace.name) : "" }));
  });
}

function points(trace, layout) {
  if (trace.hoverinfo === "skip") return [];
  const across = trace.orientation === "h" || layout.yaxis?.ticktext;
  const [labels, values] = across ? [trace.y, trace.x] : [trace.x, trace.y];
  const axis = across ? layout.yaxis : layout.xaxis;
  return (values ?? []).map((value, place) => ({
    label: tick(axis, labels?.[place] ?? place),
    value: told(trace, place) ?? amount(value),
    custom: trace.customdata?.[place] ?? null,
  }));
}

function cells(trace, layout) {
  const found = trace.z.flatMap((row, y) => row.map((value, x) => ({ value, x, y })));
  found.sort((one, other) => (other.value ?? -Infinity) - (one.value ?? -Infinity));
  return found.map(({ value, x, y }) => ({
    label: `${tick(layout.yaxis, trace.y?.[y] ?? y)} / ${tick(layout.xaxis, trace.x?.[x] ?? x)}`,
    value: told(trace, y, x) ?? amount(value),
    custom: trace.customdata?.[y]?.[x] ?? null,
  }));
}

// The text of a point without the name that its row has already.
const alone = ({ label, value }) => (value.startsWith(`${label}: `) ? value.slice(label.length + 2) : value);

function told(trace, ...place) {
  const text = place.reduce((list, index) => (Array.isArray(list) ? list[index] : undefined), trace.hovertext);
  return typeof text === "string" && text ? plain(text) : undefined;
}

function tick(axis, value) {
  const place = axis?.tickvals?.indexOf(value) ?? -1;
  return plain(place >= 0 && axis.ticktext ? axis.ticktext[place] : value);
}

function amount(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "number" ? String(Number(value.toPrecision(4))) : plain(value);
}
