/** The filter rail. */

import { refill } from "./dom.js";

export function mountFilters(root) {
  refill(root);
  return { leave() {}, matched() {} };
}
