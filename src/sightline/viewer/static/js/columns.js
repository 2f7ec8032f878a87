/** The columns of the table of images: what each holds, how it reads, by what name the server sorts it. */

import { classes } from "./colors.js";
import { iou, NONE, number, percent, signed } from "./format.js";

const text = (value) => (value === null || value === undefined || value === "" ? NONE : String(value));

const FACTS = [
  { sort: "Split", title: "Subset", width: 72, read: (row) => text(row.Split) },
  { sort: "Group", title: "Group", width: 120, read: (row) => text(row.Group) },
  { sort: "Frame", title: "Frame", width: 72, numeric: true, read: (row) => text(row.Frame) },
  { sort: "Width", title: "Size", width: 96, numeric: true, read: (row) => `${text(row.Width)} × ${text(row.Height)}` },
  { sort: "Brightness", title: "Brightness", width: 92, numeric: true, read: (row) => number(row.Brightness, 1) },
  { sort: "ignored_share", title: "Ignored", width: 76, numeric: true, read: (row) => percent(row.ignored_share) },
];

const A = { sort: "miou", title: "mIoU A", width: 88, numeric: true, read: (row) => iou(row.miou) };
const B = [
  { sort: "miou_b", title: "mIoU B", width: 88, numeric: true, read: (row) => iou(row.miou_b) },
  { sort: "change", title: "B − A", width: 76, numeric: true, read: (row) => signed(row.change) },
];
const CELL = { sort: "cell", title: "Cell’s pixels", width: 100, numeric: true, read: (row) => number(row.cell) };
const NAME = { sort: "File_Name", title: "File", width: 240, file: true, read: (row) => row.File_Name };

/** The columns for what is shown: run A, run B, a filter on a cell of the confusion matrix. */
export function columns({ a, b, cell }) {
  const own = classes();
  const shares = own.map(({ name, index, color }) => ({
    sort: `${name}_share`,
    title: name,
    group: "share",
    color,
    width: 104,
    numeric: true,
    read: (row) => percent(row.share?.[index]),
  }));
  const ious = own.map(({ name, index, color }) => ({
    sort: `${name}_iou`,
    title: name,
    group: "IoU",
    color,
    width: 104,
    numeric: true,
    read: (row) => iou(row.iou?.[index]),
  }));
  return [
    NAME,
    ...(cell ? [CELL] : []),
    ...(a ? [A] : []),
    ...(a && b ? B : []),
    ...FACTS,
    ...(a ? ious : []),
    ...shares,
  ];
}

/** What a tile says of a row: the value that it is sorted by, or its mIoU, which has its name where there is room. */
export function worth(row, sort, brief) {
  if (!row) return "";
  const column = sort && columns({ a: true, b: true, cell: true }).find((each) => each.sort === sort);
  if (!column || column.file || column.sort === "miou")
    return row.miou === null || row.miou === undefined ? "" : `${brief ? "" : "IoU "}${iou(row.miou)}`;
  return column.read(row);
}
