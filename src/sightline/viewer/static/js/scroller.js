/**
 * Scrolling through more rows than a browser can lay out. Browsers end an element at 17 to 33 million pixels; here the
 * scrolled element never gets higher than `MOST`. Where the rows are higher, small steps move pixel by pixel, and a jump
 * (the scroll bar, Page keys held down) goes to the same fraction of the rows.
 */

const MOST = 8_000_000;
const OVER = 2;

export class Scroller {
  /** `viewport` scrolls, `canvas` in it gets the height; `draw(first, last, y)`: show these rows, `y(row)` says where. */
  constructor(viewport, canvas, draw) {
    Object.assign(this, { viewport, canvas, draw, rows: 0, height: 1, top: 0, shift: 0, last: 0, head: 0 });
    this.listener = () => this.#scrolled();
    viewport.addEventListener("scroll", this.listener, { passive: true });
  }

  /** There are `rows` of `height` pixels, below a head of `head` pixels that stays in view. */
  lay(rows, height, head = 0) {
    const row = this.top / this.height;
    Object.assign(this, { rows, height, head });
    this.canvas.style.height = `${Math.min(MOST, rows * height)}px`;
    this.#go(row * height);
  }

  /** Scroll as little as needed to bring a row into view; `middle`: to the middle of it. */
  reveal(row, middle = false) {
    const y = row * this.height;
    const view = this.#view();
    if (middle) this.#go(y - (view - this.height) / 2);
    else if (y < this.top) this.#go(y);
    else if (y + this.height > this.top + view) this.#go(y + this.height - view);
  }

  /** How many whole rows are in view. */
  page() {
    return Math.max(1, Math.floor(this.#view() / this.height));
  }

  /** Draw again what is in view. */
  redraw() {
    const first = Math.max(0, Math.floor(this.top / this.height) - OVER);
    const last = Math.min(this.rows - 1, Math.ceil((this.top + this.#view()) / this.height) + OVER - 1);
    this.draw(first, last, (row) => row * this.height - this.shift);
  }

  close() {
    clearTimeout(this.timer);
    this.viewport.removeEventListener("scroll", this.listener);
  }

  #view() {
    return Math.max(1, this.viewport.clientHeight - this.head);
  }

  /** Pixels that the rows, and that the scrolled element, can move. */
  #ranges() {
    const real = this.rows * this.height;
    return [Math.max(0, real - this.#view()), Math.max(0, Math.min(MOST, real) - this.#view())];
  }

  #go(top) {
    const [real, shown] = this.#ranges();
    this.top = Math.min(real, Math.max(0, top));
    this.last = Math.round(real > shown ? (this.top / real) * shown : this.top);
    this.shift = this.top - this.last;
    this.viewport.scrollTop = this.last;
    this.redraw();
  }

  #scrolled() {
    const [real, shown] = this.#ranges();
    const now = this.viewport.scrollTop;
    const step = now - this.last;
    if (Math.abs(step) < 1) return;
    const near = real <= shown || (Math.abs(step) < 2 * this.#view() && now > 0 && now < shown - 1);
    this.top = near ? Math.min(real, Math.max(0, this.top + step)) : (now / shown) * real;
    this.last = now;
    this.shift = this.top - now;
    this.redraw();
    clearTimeout(this.timer);
    if (real > shown) this.timer = setTimeout(() => this.#go(this.top), 250);
  }
}
