/** The inspector. */

import { refill } from "./dom.js";

export function mountInspector(root) {
  refill(root);
  return { leave() {}, show() {} };
}
