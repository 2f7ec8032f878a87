/** Links into trackio's dashboard, which the same server shows: metrics, runs, and where an artifact comes from. */
import { h } from "./dom.js";

const PLACES = { metrics: "", runs: "runs", artifacts: "artifacts" };

/** Address of a part of the dashboard; `catalog.dashboard` is that of the metrics. */
export function dashboard(catalog, place, extra = {}) {
  const address = new URL(catalog.dashboard, location.href);
  address.pathname = `${address.pathname.replace(/\/*$/, "/")}${PLACES[place]}`;
  for (const [key, value] of Object.entries(extra)) address.searchParams.set(key, value);
  return `${address.pathname}${address.search}`;
}

/** Address of the lineage of an artifact, `road_model:v0`. */
export function lineage(catalog, spec) {
  const [name, version] = [spec.slice(0, spec.lastIndexOf(":")), spec.slice(spec.lastIndexOf(":") + 1)];
  return dashboard(catalog, "artifacts", { selected_artifact: name, selected_version: version, detail_tab: "lineage" });
}

/** Links that open beside the viewer: `[text, () => address]`; none where the store has no dashboard. */
export function outward(catalog, links) {
  if (!catalog.dashboard) return null;
  return h("nav", { class: "outward", "aria-label": "Dashboard" },
    links.map(([text, address]) => h("a", { href: address(), target: "_blank", rel: "noopener" }, text)));
}
