/** Elements in the colour of a class, which follow when its colour is changed in the legend. */
import { classes, onClasses } from "./colors.js";

const colors = () => new Map(classes().map(({ index, color }) => [String(index), color]));

/** Give an element the colour of the class with this index as its background. */
export function tint(element, index) {
  element.dataset.tint = index;
  element.style.background = colors().get(String(index)) ?? "";
  return element;
}

onClasses(() => {
  const known = colors();
  for (const one of document.querySelectorAll("[data-tint]")) one.style.background = known.get(one.dataset.tint) ?? "";
});
