/** One part of a page that is fetched: a skeleton that keeps its place, then the content, or the error with a retry. */
import { command, h } from "./dom.js";

/** Fill `element` with what `load(signal)` brings, drawn by `render(result)`, which may return an element. */
export async function fill(element, load, render) {
  element.fill_abort?.abort();
  const abort = (element.fill_abort = new AbortController());
  const height = element.offsetHeight;
  if (height) element.style.minHeight = `${height}px`;
  element.setAttribute("aria-busy", "true");
  element.replaceChildren(h("div", { class: "skeleton fill" }, h("span", { class: "visually-hidden" }, "Loading")));
  try {
    const shown = await render(await load(abort.signal));
    if (!abort.signal.aborted && shown instanceof Node) element.replaceChildren(shown);
  } catch (error) {
    if (!abort.signal.aborted) element.replaceChildren(trouble(error, () => fill(element, load, render)));
  } finally {
    if (element.fill_abort === abort) {
      element.removeAttribute("aria-busy");
      element.style.minHeight = "";
    }
  }
}

/** Ask no more for what an element was to be filled with. */
export const cease = (element) => element.fill_abort?.abort();

/** What went wrong, the command that helps where the server named one, and a button to try again. */
export function trouble(error, retry) {
  return h("div", { class: "error-box", role: "alert" },
    h("p", {}, error.message),
    error.command ? command(error.command) : null,
    retry ? h("button", { class: "button", type: "button", on: { click: retry } }, "Try again") : null);
}
