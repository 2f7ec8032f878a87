/** Images on pages of text: a thumbnail with its overlay that leads to the image, its name below. */
import { h } from "./dom.js";
import { link } from "./state.js";
import * as thumbs from "./thumbs.js";

/** A thumbnail of a row of the table. `layer`: target (unless told), prediction of evaluation `a`, error, none. */
export function picture({ id, File_Name: name, data, a, layer = "target", label = name, patch = {} }) {
  return h("a", { class: "picture", href: link({ page: "image", image: name, ...patch }), title: name },
    h("span", { class: "picture-frame" }, thumbs.thumb({ id, name, data, a, layer })),
    h("span", { class: "picture-name" }, label));
}

/** Give back the thumbnails below an element. */
export function release(root) {
  for (const one of root.querySelectorAll(".thumb")) thumbs.release(one);
}
