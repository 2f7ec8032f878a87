/** The keyboard: pages bind keys, the last one that bound a key gets it first. */

const bound = [];
const OFF = "sightline.keys.off";

/**
 * Bind `handlers` {key: fn(event)}; keys are `event.key` ("j", "Enter", "ArrowLeft", "?"), and "digit" is called with
 * (n, shift). A handler that returns false leaves the key to whoever bound it before. Returns what unbinds.
 */
export function bind(handlers) {
  bound.push(handlers);
  return () => {
    const at = bound.indexOf(handlers);
    if (at >= 0) bound.splice(at, 1);
  };
}

/** Are single keys obeyed? Those who speak to their computer may want them off. */
export const enabled = () => localStorage.getItem(OFF) === null;

export function setEnabled(on) {
  if (on) localStorage.removeItem(OFF);
  else localStorage.setItem(OFF, "1");
}

const WRITING =
  "textarea, select, [contenteditable], input:not([type=checkbox], [type=radio], [type=range], [type=color])";
const PRESSED = new Set(["Enter", " "]);

function pressed(event) {
  const altGraph = event.getModifierState("AltGraph");
  if (event.defaultPrevented || event.metaKey || (!altGraph && (event.ctrlKey || event.altKey))) return;
  if (event.isComposing || document.querySelector("dialog[open]")) return;
  if (event.target.matches?.(WRITING)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (PRESSED.has(event.key) && event.target.closest("button, a, summary, input")) return;
  if (event.target.matches?.("input[type=range], input[type=radio]") && event.key.startsWith("Arrow")) return;
  if (event.key.length === 1 && !enabled()) return;
  if (dispatch(event)) event.preventDefault();
}

function dispatch(event) {
  const digit = event.code.match(/^(?:Digit|Numpad)([1-9])$/)?.[1];
  const key = event.key.length === 1 && !event.shiftKey ? event.key.toLowerCase() : event.key;
  for (const handlers of [...bound].reverse()) {
    if (digit && handlers.digit && handlers.digit(Number(digit), event.shiftKey) !== false) return true;
    if (Object.hasOwn(handlers, key) && handlers[key](event) !== false) return true;
  }
  return false;
}

document.addEventListener("keydown", pressed);
