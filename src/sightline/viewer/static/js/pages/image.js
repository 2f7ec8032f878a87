/** Image: ground truth, prediction, error map and plain image side by side; its neighbours in the drive. */

import { getJson } from "../api.js";
import { announce, debounce, h, refill } from "../dom.js";
import { flagDialog } from "../flags.js";
import { number } from "../format.js";
import { noPredictions } from "../images-states.js";
import { bind } from "../keys.js";
import { MOST, panes } from "../panes.js";
import { back, link, onChange, param, set } from "../state.js";
import { release, thumb } from "../thumbs.js";

export const title = "Image";
export const inspector = true;
export const updates = true;

export async function show(root, context) {
  root.classList.add("image-page");
  const view = new Picture(root, context);
  await view.draw();
  return () => view.close();
}

class Picture {
  constructor(root, context) {
    Object.assign(this, {
      root,
      context,
      control: null,
      panes: null,
      strip: h("nav", { class: "drive", "aria-label": "Neighbours in the drive" }),
    });
    this.keep = debounce(() => set({ zoom: this.#zoom() }, { replace: true }), 150);
    this.ends = [onChange((keys) => this.#changed(keys)), bind(this.#keys())];
  }

  close() {
    this.control?.abort();
    this.keep.cancel();
    this.#clear();
    this.ends.forEach((end) => end());
  }

  /** Fetch what is known of the image, then lay it out in the place of the one before. */
  async draw() {
    this.control?.abort();
    this.control = new AbortController();
    const { data, a, b, inspector } = this.context;
    const row = await getJson("/api/image", { data, a, b, name: param("image") }, { signal: this.control.signal });
    const { scale, center } = this.panes ?? zoomed(param("zoom"));
    this.#clear();
    this.row = row;
    this.panes = panes({
      ...this.#what(row),
      wheel: !matchMedia("(max-width: 800px)").matches,
      outline: param("outline") !== "0",
      changed: () => this.#sync(),
    });
    Object.assign(this.panes, { scale, center });
    refill(this.root, this.#head(row), this.#notice(row), this.panes.element, this.#drive(row));
    this.panes.only(param("layers"));
    inspector.show(row);
    announce(row.File_Name);
    document.title = `${row.File_Name} · ${this.context.catalog.project} · Sightline`;
  }

  #what(row) {
    const { data, a, b } = this.context;
    const keys = ["target", ...(row.a ? ["a", "error"] : []), ...(row.b ? ["b", "error_b"] : []), "image"];
    return {
      data,
      a,
      b,
      name: row.File_Name,
      width: row.Width,
      height: row.Height,
      show: keys,
      label: `Views of ${row.File_Name}`,
    };
  }

  #clear() {
    this.panes?.dispose();
    for (const element of this.root.querySelectorAll(".thumb")) release(element);
  }

  #head(row) {
    const step = (name, text, words) =>
      name
        ? h(
            "a",
            { class: "button", href: link({ image: name }), "data-replace": true, title: words, "aria-label": words },
            text,
          )
        : h("span", { class: "button", "aria-disabled": "true", "aria-label": `${words}: none` }, text);
    const button = (text, words, click, dataset = {}) =>
      h("button", { class: "button", type: "button", title: words, "aria-label": words, dataset, on: { click } }, text);
    this.choices = h(
      "div",
      { class: "segments", role: "group", "aria-label": "Panes" },
      button("All", "All panes side by side", () => this.#only(null), { pane: "" }),
      this.panes.list.map(({ view }) =>
        button(SHORT[view], `Only: ${SHORT[view]}`, () => this.#only(view), { pane: view }),
      ),
    );
    this.blink = button("Blink", "One in the place of the other, in turns (b)", () => this.panes.blink());
    this.outlines = button("Outlines", "Lines between classes (o)", () => this.#outlines());
    this.scale = h("output", { class: "number scale", "aria-label": "Zoom" });
    const zoom = h(
      "div",
      { class: "segments", role: "group", "aria-label": "Zoom" },
      button("−", "Zoom out (-)", () => this.panes.zoom(1 / 1.5)),
      button("Fit", "Whole image (0)", () => this.panes.reset()),
      button("+", "Zoom in (+)", () => this.panes.zoom(1.5)),
    );
    return h(
      "header",
      { class: "toolbar" },
      h(
        "div",
        { class: "image-title" },
        h("a", { class: "button", href: link({ page: "images" }), title: "Back to the images (Esc)" }, "← Images"),
        h("h1", { class: "file-name", title: row.File_Name }, row.File_Name),
      ),
      h("div", { class: "tools" }, this.choices, this.blink, this.outlines),
      h(
        "div",
        { class: "tools" },
        this.scale,
        zoom,
        h(
          "div",
          { class: "segments", role: "group", "aria-label": "Drive" },
          step(row.previous, "‹", "Previous in the drive (k)"),
          step(row.next, "›", "Next in the drive (j)"),
        ),
      ),
    );
  }

  #notice(row) {
    const { a, catalog } = this.context;
    if (!a) return noPredictions(this.context);
    if (row.a) return null;
    const run = catalog.evaluations.find((each) => each.spec === a);
    return h(
      "div",
      { class: "notice" },
      `Run A (${a}) did not predict this image: it measured the subset ${run?.subset ?? "of others"}.`,
    );
  }

  /** The images before and after, as pictures. */
  #drive(row) {
    const { data, a } = this.context;
    const items = (row.neighbours ?? []).map(({ id, File_Name: name }) =>
      h(
        "a",
        {
          class: "neighbour",
          href: link({ image: name }),
          "data-replace": true,
          "aria-current": name === row.File_Name ? "true" : null,
          title: name,
        },
        thumb({ id, name, data, a }),
        h("span", { class: "file" }, h("bdi", null, name)),
      ),
    );
    this.strip.style.setProperty("--aspect", `${row.Width} / ${row.Height}`);
    return refill(this.strip, items);
  }

  #only(key) {
    set({ layers: this.panes.single === key && !this.panes.blinking ? null : key }, { replace: true });
    this.panes.only(param("layers"));
  }

  #outlines() {
    set({ outline: param("outline") === "0" ? null : "0" }, { replace: true });
    this.panes.outline(param("outline") !== "0");
    this.#sync();
  }

  #sync() {
    if (!this.choices || !this.panes) return;
    const { single, blinking, scale } = this.panes;
    for (const button of this.choices.children)
      button.setAttribute("aria-pressed", String((single ?? "") === button.dataset.pane && !blinking));
    this.blink.setAttribute("aria-pressed", String(blinking));
    this.outlines.setAttribute("aria-pressed", String(param("outline") !== "0"));
    this.scale.textContent = `${number(100 * scale)}%`;
    this.keep();
  }

  /** What is seen of the image, as it stands in the address; null for all of it. */
  #zoom() {
    const { scale, center } = this.panes ?? zoomed("");
    return scale > 1 ? [scale, ...center].map((value) => Number(value.toFixed(4))).join(":") : null;
  }

  #changed(keys) {
    if (keys.has("image") && param("image") && param("page") === "image") {
      this.draw().catch((error) => {
        if (error.name !== "AbortError") this.#failed(error);
      });
    } else if (keys.has("layers") && this.panes.single !== param("layers") && !this.panes.blinking)
      this.panes.only(param("layers"));
    else if (keys.has("zoom") && param("zoom") !== this.#zoom()) {
      const { scale, center } = zoomed(param("zoom"));
      this.panes?.look(scale, center);
    }
  }

  #failed(error) {
    this.#clear();
    this.panes = null;
    refill(
      this.root,
      h(
        "div",
        { class: "error-box", role: "alert" },
        h("p", null, error.message),
        h("a", { class: "button", href: link({ page: "images" }) }, "← Images"),
      ),
    );
  }

  #keys() {
    const go = (way) => () => {
      const name = this.row?.[way];
      if (name) set({ image: name }, { replace: true });
      else announce(way === "next" ? "The last image of the drive" : "The first image of the drive");
    };
    const alone = (key) => () =>
      this.panes?.list.some((pane) => pane.view === key)
        ? this.#only(key)
        : announce("There is no prediction of this image");
    const zoom = (factor) => () => this.panes?.zoom(factor);
    return {
      j: go("next"),
      ArrowRight: go("next"),
      ArrowDown: go("next"),
      k: go("previous"),
      ArrowLeft: go("previous"),
      ArrowUp: go("previous"),
      g: alone("target"),
      p: alone("a"),
      e: alone("error"),
      b: () => this.panes?.blink(),
      o: () => this.#outlines(),
      f: () => this.row && flagDialog(this.context, this.row),
      "+": zoom(1.5),
      "=": zoom(1.5),
      "-": zoom(1 / 1.5),
      0: () => this.panes?.reset(),
      Escape: () => back({ page: "images" }),
      w: () => set({ page: "images", sort: "miou", desc: null }),
      "/": () => set({ page: "images" }),
    };
  }
}

/** `SCALE:X:Y` of the address: how many times the whole image, and the place in the middle, 0 to 1. */
function zoomed(text) {
  const [scale, ...center] = (text ?? "").split(":").map(Number);
  const known = scale >= 1 && scale <= MOST && center.length === 2 && center.every(Number.isFinite);
  return known ? { scale, center } : { scale: 1, center: [0.5, 0.5] };
}

const SHORT = {
  target: "Ground truth",
  a: "Prediction",
  error: "Errors",
  b: "Prediction B",
  error_b: "Errors B",
  image: "Image",
};
