/** Ground truth, image, A and B of one image, zoomed together; `b` blinks between A and B. */
import { announce, h, stillness } from "./dom.js";
import { getJson } from "./api.js";
import { signed } from "./format.js";
import { bind } from "./keys.js";
import { cease, fill } from "./loading.js";
import { panes } from "./panes.js";
import { link, onChange, param, set } from "./state.js";

const SHOWN = ["target", "image", "a", "b"];

/** Show this image in the four panes, and go there. */
export function choose(name) {
  set({ pick: name }, { replace: true });
  const four = document.querySelector(".four");
  four?.scrollIntoView({ behavior: stillness() ? "auto" : "smooth", block: "start" });
  four?.focus({ preventScroll: true });
}

/** The part of the page; `rows` {File_Name, change} are those to step through. `start()` once it stands in the page. */
export class FourPanes {
  constructor(rows, { data, a, b }) {
    Object.assign(this, { rows, data, a, b, view: null, shown: null, stops: [] });
    this.names = rows.map((row) => row.File_Name);
    this.body = h("div", { class: "four-body" });
    this.words = h("span", { class: "four-name" });
    const head = h("div", { class: "part-head" }, h("h2", {}, "Side by side"), this.words, this.#tools());
    this.element = this.names.length ? h("section", { class: "part four", tabindex: "-1" }, head, this.body) : null;
  }

  start() {
    if (!this.names.length) return;
    this.#update();
    this.stops = [onChange(() => this.#update()), bind({ b: () => this.#blink() })];
  }

  stop() {
    for (const stop of this.stops) stop();
    cease(this.body);
    this.view?.dispose();
  }

  get #current() {
    return param("pick") ?? this.names[0];
  }

  #tools() {
    const button = (text, label, click) =>
      h("button", { class: "button", type: "button", "aria-label": label, title: label, on: { click } }, text);
    return h("div", { class: "four-tools" },
      button("←", "The image before", () => this.#step(-1)), button("→", "The next image", () => this.#step(1)),
      button("Blink", "Blink between A and B (b)", () => this.#blink()));
  }

  #blink() {
    this.view?.blink();
  }

  #step(by) {
    const place = this.names.indexOf(this.#current) + by;
    choose(this.names[(place + this.names.length) % this.names.length]);
  }

  #update() {
    const name = this.#current;
    if (name === this.shown) return;
    this.shown = name;
    this.words.textContent = name;
    const query = { data: this.data, a: this.a, b: this.b, name };
    fill(this.body, (signal) => getJson("/api/image", query, { signal }), (image) => this.#draw(name, image));
  }

  #draw(name, { Width: width, Height: height, change: own }) {
    this.view?.dispose();
    const { data, a, b } = this;
    this.view = panes({ data, name, a, b, width, height, show: SHOWN, label: `Four views of ${name}` });
    this.view.element.style.setProperty("--ratio", `${width} / ${height}`);
    const change = this.rows.find((row) => row.File_Name === name)?.change ?? own;
    this.words.replaceChildren(h("a", { href: link({ page: "image", image: name }) }, name), ` ${signed(change)}`);
    announce(`${name}, mIoU ${signed(change)}`);
    return this.view.element;
  }
}
