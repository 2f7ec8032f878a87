/** One image in several panes, zoomed and moved together, with the class under the pointer in each. */

import { ApiError, getBytes, url } from "./api.js";
import { classes, facts } from "./colors.js";
import { announce, debounce, h, refill, stillness } from "./dom.js";
import { gestures } from "./gestures.js";
import { drop, hide, load, show as paint } from "./paint.js";

const VIEWS = {
  image: { title: "Image", layer: null, needs: [] },
  target: { title: "Ground truth", layer: "target", needs: ["target"] },
  a: { title: "Prediction A", layer: "a", needs: ["a"] },
  error: { title: "Error map A", layer: "error_a", needs: ["target", "a"] },
  b: { title: "Prediction B", layer: "b", needs: ["b"] },
  error_b: { title: "Error map B", layer: "error_b", needs: ["target", "b"] },
};
const READ = { target: "ground truth", a: "prediction A", b: "prediction B" };
/** Times the whole image that one can zoom to. */
export const MOST = 40;
let serial = 0;

/**
 * {data, name, a, b, width, height (pixels), show: keys of the panes, label; outline: lines between classes (true);
 * wheel: does the wheel always zoom, or only in a pane with the focus; changed(): called when panes come or go}.
 * Returns {element, only(key | null), blink(on?), blinking, single, zoom(factor), look(scale, center), reset(),
 * outline(on), dispose()}.
 */
export function panes(options) {
  return new Panes(options);
}

class Panes {
  constructor(options) {
    const { outline = true, ...rest } = options;
    Object.assign(this, { wheel: false, changed() {}, ...rest, outlined: outline, key: `panes ${++serial}` });
    Object.assign(this, {
      scale: 1,
      center: [0.5, 0.5],
      cursor: null,
      single: null,
      blinking: false,
      pixels: {},
      control: new AbortController(),
    });
    this.list = options.show.map((key) => this.#pane(key));
    this.element = h(
      "div",
      {
        class: "panes",
        role: "group",
        "aria-label": options.label ?? options.name,
        dataset: { count: this.list.length },
      },
      this.list.map((pane) => pane.element),
    );
    this.observer = new ResizeObserver(() => this.#place());
    this.observer.observe(this.element);
    this.say = debounce(() => announce(this.#words()), 350);
    this.ready = this.#load();
  }

  dispose() {
    this.control.abort();
    this.observer.disconnect();
    this.say.cancel();
    clearInterval(this.timer);
    for (const pane of this.list) hide(pane.canvas);
    drop([this.key]);
  }

  /** Show one pane alone, or all of them. */
  only(key) {
    this.#stop();
    this.#single(key);
    this.changed();
  }

  /** One in the place of the other, in turns: the two predictions, or ground truth and prediction. */
  blink(on = !this.blinking || (stillness() && this.single === this.#pair()[0])) {
    const [first, second] = this.#pair();
    if (!second) return announce("There is nothing to blink with");
    const flip = () => this.#single(this.single === first ? second : first);
    if (on && !this.blinking) [this.before, this.single] = [this.single, second];
    if (on) {
      this.blinking = true;
      flip();
      clearInterval(this.timer);
      if (!stillness()) this.timer = setInterval(flip, 700);
    } else {
      this.#stop();
      this.#single(this.before);
    }
    return this.changed();
  }

  outline(on) {
    this.outlined = on;
    this.#paint();
  }

  zoom(factor, at = this.cursor ?? this.center) {
    const scale = Math.min(MOST, Math.max(1, this.scale * factor));
    const keep = this.scale / scale;
    this.look(
      scale,
      this.center.map((middle, axis) => at[axis] + (middle - at[axis]) * keep),
    );
  }

  reset() {
    this.look(1, [0.5, 0.5]);
  }

  /** Show the place [x, y] of the image, 0 to 1, in the middle. */
  look(scale, center) {
    Object.assign(this, { scale, center });
    this.#place();
    this.changed();
  }

  /** Move by a fraction of the image. */
  move(dx, dy) {
    this.look(this.scale, [this.center[0] + dx, this.center[1] + dy]);
  }

  /** Point at a place [x, y] of the image, 0 to 1, or at none. */
  point(at, over = null) {
    this.cursor = at;
    for (const pane of this.list) this.#read(pane, pane === over);
  }

  #pair() {
    const keys = this.list.map((pane) => pane.view);
    return keys.includes("b") ? ["a", "b"] : keys.includes("a") ? ["target", "a"] : [];
  }

  #stop() {
    clearInterval(this.timer);
    this.blinking = false;
  }

  #single(key) {
    this.single = this.list.some((pane) => pane.view === key) ? key : null;
    for (const pane of this.list) pane.element.hidden = this.single !== null && pane.view !== this.single;
    this.element.dataset.count = this.single ? 1 : this.list.length;
    this.#place();
  }

  #pane(view) {
    const { title } = VIEWS[view];
    const image = h("img", { alt: "", draggable: "false" });
    const canvas = h("canvas", { width: 1, height: 1 });
    const stage = h("div", { class: "stage" }, image, canvas);
    const cross = h("div", { class: "cross", hidden: true });
    const label = h("div", { class: "hover-label", hidden: true });
    const why = h("p", { class: "why", hidden: true });
    const read = h("span", { class: "read" });
    const window = h(
      "div",
      {
        class: "pane-window",
        tabindex: 0,
        role: "application",
        "aria-roledescription": "picture that can be zoomed",
        "aria-label": `${title} of ${this.name}. Arrows move the pointer, plus and minus zoom.`,
      },
      stage,
      cross,
      label,
      why,
    );
    const element = h(
      "figure",
      { class: "pane", dataset: { view } },
      h("figcaption", null, h("span", { class: "pane-title" }, title), read),
      window,
    );
    const pane = { view, element, image, canvas, stage, cross, label, why, read, window };
    image.addEventListener("error", () => {
      if (image.src) this.#fail(pane, "The image file cannot be shown: it is missing or damaged.");
    });
    image.src = url("/files/image", { data: this.data, name: this.name });
    gestures(pane, this);
    return pane;
  }

  /** Fetch and decode the masks; a pane whose mask cannot be had says why. */
  async #load() {
    const from = {
      target: ["/files/mask", { data: this.data }],
      a: ["/files/prediction", { a: this.a }],
      b: ["/files/prediction", { a: this.b }],
    };
    const wanted = [...new Set(this.list.flatMap((pane) => VIEWS[pane.view].needs))];
    const layers = {};
    const reasons = {};
    await Promise.all(
      wanted.map(async (layer) => {
        const [path, params] = from[layer];
        try {
          layers[layer] = await getBytes(path, { ...params, name: this.name }, { signal: this.control.signal });
        } catch (error) {
          reasons[layer] = error instanceof ApiError ? error.message : String(error.message);
        }
      }),
    );
    if (this.control.signal.aborted) return;
    try {
      if (Object.keys(layers).length) this.pixels = await load(this.key, layers, { pixels: true });
    } catch (error) {
      for (const layer of wanted) reasons[layer] ??= error.message;
    }
    for (const pane of this.list) {
      const lacking = VIEWS[pane.view].needs.find((layer) => reasons[layer]);
      if (lacking) this.#fail(pane, reasons[lacking]);
    }
    this.#paint();
    this.element.dataset.ready = "";
  }

  #fail(pane, reason) {
    pane.why.hidden = false;
    refill(pane.why, reason);
  }

  #paint() {
    if (this.control.signal.aborted) return;
    for (const pane of this.list) paint(pane.canvas, this.key, VIEWS[pane.view].layer, { outline: this.outlined });
  }

  /** Lay the picture into each pane: whole at scale 1, and never beyond its edges. */
  #place() {
    const seen = this.list.find((pane) => !pane.element.hidden);
    const [wide, high] = [seen.window.clientWidth, seen.window.clientHeight];
    if (!wide || !high) return;
    const fit = Math.min(wide / this.width, high / this.height);
    const size = [this.width * fit, this.height * fit];
    const half = [wide / 2 / (size[0] * this.scale), high / 2 / (size[1] * this.scale)];
    this.center = this.center.map((middle, axis) =>
      half[axis] >= 0.5 ? 0.5 : Math.min(1 - half[axis], Math.max(half[axis], middle)),
    );
    Object.assign(this, { size, room: [wide, high], fit });
    const shift = this.center.map((middle, axis) => this.room[axis] / 2 - middle * size[axis] * this.scale);
    for (const { window, stage, canvas, image } of this.list) {
      window.style.touchAction = this.scale > 1 ? "none" : "pan-y";
      Object.assign(stage.style, {
        width: `${size[0]}px`,
        height: `${size[1]}px`,
        transform: `translate(${shift[0]}px, ${shift[1]}px) scale(${this.scale})`,
      });
      const sharp = fit * this.scale > 1.6;
      canvas.classList.toggle("sharp", sharp);
      image.classList.toggle("sharp", fit * this.scale > 4);
    }
    this.shift = shift;
    this.point(this.cursor);
  }

  /** A point of a pane's window in pixels → a place in the image, 0 to 1; null outside. */
  where(x, y) {
    if (!this.shift) return null;
    const at = [x, y].map((value, axis) => (value - this.shift[axis]) / (this.size[axis] * this.scale));
    return at.every((value) => value >= 0 && value < 1) ? at : null;
  }

  #read(pane, over) {
    const at = this.cursor;
    pane.cross.hidden = !at;
    pane.label.hidden = !(at && over);
    if (!at) {
      pane.read.textContent = "";
      return;
    }
    const [x, y] = at.map((value, axis) => this.shift[axis] + value * this.size[axis] * this.scale);
    pane.cross.style.transform = `translate(${x}px, ${y}px)`;
    refill(pane.read, this.#class(pane.view));
    if (!over) return;
    refill(pane.label, this.#class(pane.view));
    const left = x > this.room[0] - 150;
    pane.label.style.transform = `translate(${x + (left ? -12 : 12)}px, ${Math.min(y + 14, this.room[1] - 30)}px) translateX(${left ? "-100%" : "0"})`;
  }

  /** What a pane says of the pixel under the pointer. */
  #class(view) {
    const needs = VIEWS[view].needs;
    const found = needs.map((layer) => this.#at(layer));
    if (!needs.length) return [this.#pixel()];
    if (found.some((index) => index === null)) return [""];
    const [is, said] = found;
    if (needs.length === 1) return named(is);
    if (is === facts().ignore_index) return ["ignored"];
    return is === said ? ["right: ", ...named(is)] : [...named(is), " → ", ...named(said)];
  }

  #pixel() {
    const [x, y] = this.cursor.map((value, axis) => Math.floor(value * [this.width, this.height][axis]));
    return `x ${x}, y ${y}`;
  }

  #at(layer) {
    const indices = this.pixels.layers?.[layer];
    if (!indices || !this.cursor) return null;
    const [x, y] = this.cursor.map((value, axis) => Math.floor(value * [this.pixels.width, this.pixels.height][axis]));
    return indices[y * this.pixels.width + x] ?? null;
  }

  #words() {
    if (!this.cursor) return "";
    const parts = Object.entries(READ)
      .map(([layer, words]) => [words, this.#at(layer)])
      .filter(([, index]) => index !== null);
    return `${this.#pixel()}: ${parts.map(([words, index]) => `${words} ${nameOf(index)}`).join(", ")}`;
  }
}

function nameOf(index) {
  if (index === facts().ignore_index) return "ignored";
  return classes().find((each) => each.index === index)?.name ?? `class ${index}`;
}

function named(index) {
  const color = classes().find((each) => each.index === index)?.color;
  return [color ? h("span", { class: "dot", style: { background: color } }) : null, nameOf(index)];
}
