/** The inspector: what is known of one image. */

import { classes, onClasses, toggle } from "./colors.js";
import { h, refill } from "./dom.js";
import { entry, flagDialog, listButton, onFlags } from "./flags.js";
import { iou, NONE, number, percent, signed } from "./format.js";
import { link, page } from "./state.js";
import { assign, release, thumb } from "./thumbs.js";

/** Build the inspector into `root`. Returns {show(row | null, layer), leave()}. */
export function mountInspector(root, context) {
  const picture = thumb();
  const state = { row: null, layer: "target" };
  const draw = () => {
    if (!state.row) {
      release(picture);
      refill(
        root,
        h("p", { class: "muted none" }, context.data ? "Select an image to see what is known of it." : ""),
        h("div", { class: "inspector-foot" }, context.data ? listButton(context) : null),
      );
      return;
    }
    const preview = page() !== "image";
    if (preview)
      assign(picture, {
        id: state.row.id,
        name: state.row.File_Name,
        data: context.data,
        a: context.a,
        layer: state.layer,
      });
    refill(
      root,
      preview ? picture : null,
      heading(state.row, context),
      factsOf(state.row, context),
      classTable(state.row, context),
      flagsOf(state.row, context),
    );
    picture.style.setProperty("--aspect", `${state.row.Width} / ${state.row.Height}`);
  };
  const show = (row, layer = state.layer) => {
    if (row && row === state.row && layer === state.layer) return;
    Object.assign(state, { row, layer });
    draw();
  };
  const ends = [
    onClasses(() => {
      if (state.row) repaint(root);
    }),
    onFlags(({ name, flags }) => {
      if (state.row?.File_Name !== name) return;
      state.row.flags = flags;
      draw();
    }),
  ];
  draw();
  return {
    show,
    leave() {
      release(picture);
      ends.forEach((end) => end());
    },
  };
}

function heading(row, context) {
  const open =
    page() === "image"
      ? null
      : h("a", { class: "button primary", href: link({ page: "image", image: row.File_Name }) }, "Open");
  const flag = h(
    "button",
    { class: "button", type: "button", title: "Flag this image (f)", on: { click: () => flagDialog(context, row) } },
    "⚑ Flag…",
  );
  return h(
    "div",
    { class: "inspector-head" },
    h("h2", { class: "file-name" }, row.File_Name),
    h("div", { class: "actions" }, open, flag),
  );
}

function factsOf(row, { a, b }) {
  const facts = [
    ["Subset", row.Split && row.Split !== "None" ? row.Split : "not in the split"],
    ["Group", row.Group ?? NONE],
    row.Frame === null || row.Frame === undefined ? null : ["Frame", row.Frame],
    ["Size", `${row.Width ?? NONE} × ${row.Height ?? NONE}`],
    ["Brightness", number(row.Brightness, 1)],
    ["Ignored", percent(row.ignored_share)],
    a ? ["mIoU, run A", iou(row.miou)] : null,
    b ? ["mIoU, run B", iou(row.miou_b)] : null,
    a && b ? ["B − A", signed(row.change)] : null,
    row.a?.loss === null || row.a?.loss === undefined ? null : ["Loss, run A", number(row.a.loss, 3)],
  ].filter(Boolean);
  return h(
    "dl",
    { class: "facts" },
    facts.map(([term, value]) => [h("dt", null, term), h("dd", { class: "number" }, value)]),
  );
}

/** Share and IoU of each class; a click on a class switches it on or off. */
function classTable(row, { a, b }) {
  const other = b && row.b?.iou;
  const head = ["Class", "Share", ...(a ? [other ? "IoU A" : "IoU"] : []), ...(other ? ["IoU B"] : [])];
  const lines = classes().map(({ index, name, color, on }) =>
    h(
      "tr",
      { class: on ? "" : "off", dataset: { index } },
      h(
        "th",
        { scope: "row" },
        h(
          "button",
          { class: "class-name", type: "button", title: `${name}: on or off`, on: { click: () => toggle(index) } },
          h("span", { class: "dot", style: { background: color } }),
          h("span", { class: "name" }, name),
        ),
      ),
      h(
        "td",
        { class: "number" },
        row.share?.[index] ? percent(row.share[index]) : h("span", { class: "muted" }, NONE),
      ),
      a ? h("td", { class: "number" }, bar(row.iou?.[index])) : null,
      other ? h("td", { class: "number" }, iou(row.b.iou[index])) : null,
    ),
  );
  return h(
    "table",
    { class: "table class-table" },
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        head.map((text, at) => h("th", { scope: "col", class: at ? "number" : "" }, text)),
      ),
    ),
    h("tbody", null, lines),
  );
}

/** An IoU with a bar as long as it is high. */
function bar(value) {
  const missing = value === null || value === undefined;
  return h(
    "span",
    { class: `iou-bar${missing ? " muted" : ""}`, style: { "--value": missing ? 0 : value } },
    iou(value),
  );
}

function repaint(root) {
  const now = new Map(classes().map((each) => [String(each.index), each]));
  for (const line of root.querySelectorAll("tr[data-index]")) {
    const each = now.get(line.dataset.index);
    line.className = each.on ? "" : "off";
    line.querySelector(".dot").style.background = each.color;
  }
}

function flagsOf(row, context) {
  const list = row.flags?.length
    ? h(
        "ul",
        { class: "flag-list" },
        row.flags.map((each) => entry(context.data, row, each)),
      )
    : h("p", { class: "muted" }, "Not flagged.");
  return h("section", { class: "inspector-flags" }, h("h3", null, "Flags"), list, listButton(context));
}
