/** Building elements. Text is always set as text: a name from the data can never become markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `props`: `class`, `dataset` {…}, `style` {…} (through the CSSOM), `on` {event: handler}, `prop` {property:
 * value}, anything else an attribute (true: present; false, null, undefined: absent). Children: nodes, text, numbers,
 * nested arrays; null and false are left out.
 */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [key, value] of Object.entries(props ?? {})) give(element, key, value);
  element.append(...nodes(children));
  return element;
}

function give(element, key, value) {
  if (key === "class") element.setAttribute("class", value ?? "");
  else if (key === "dataset") Object.assign(element.dataset, value);
  else if (key === "style") for (const [name, each] of Object.entries(value)) element.style.setProperty(name, each);
  else if (key === "on") for (const [name, handler] of Object.entries(value)) element.addEventListener(name, handler);
  else if (key === "prop") Object.assign(element, value);
  else if (value === true) element.setAttribute(key, "");
  else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/** Put new children in the place of the old ones. */
export function refill(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

/** A command to type, with a button that copies it. */
export function command(text) {
  const button = h("button", { class: "button small", type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    button.textContent = (await copied(text)) ? "Copied" : "Select and copy";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  return h("div", { class: "command" }, h("code", null, text), button);
}

/** Put text on the clipboard; false where the browser forbids it (a page that is not served from this machine). */
export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

let spoken;

/** Say something to those who use a screen reader, without moving the focus. */
export function announce(text) {
  spoken ??= document.getElementById("announcer");
  if (spoken) spoken.textContent = text;
}

/** Call `handler` once the calls have ceased for `ms`. `.now()` does not wait. */
export function debounce(handler, ms) {
  let timer = null;
  const late = (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => handler(...args), ms);
  };
  late.cancel = () => clearTimeout(timer);
  late.now = (...args) => {
    clearTimeout(timer);
    handler(...args);
  };
  return late;
}

/** Does the user ask for less motion? */
export const stillness = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
