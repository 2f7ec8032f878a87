/** The classes as they are painted now: colour, on or off, opacity. All of it comes from the query string. */

import { onChange, paintKeys, param, set } from "./state.js";

const listeners = new Set();
let known = { classes: [], ignore_index: 255, ignored_share: 0, palette: null };

/** Take in what /api/classes says of a dataset version. */
export function setClasses(answer) {
  known = answer;
  tell();
}

/** What /api/classes says, as it is. */
export const facts = () => known;

/** [{index, name, color, original, on, share, images}] in the order of the indices. */
export function classes() {
  const off = switchedOff();
  const edited = editedColors();
  return known.classes.map((each) => ({
    ...each,
    original: each.color,
    color: edited.get(each.index) ?? each.color,
    on: !off.has(each.index),
  }));
}

/** How strongly masks cover the images: 0 to 1. */
export function opacity() {
  const value = Number(param("alpha") ?? 50);
  return Number.isFinite(value) ? Math.min(100, Math.max(0, value)) / 100 : 0.5;
}

/** 256 colours as canvas pixels (red, green, blue, alpha in the order of the bytes): index → how it is painted. */
export function lut() {
  const table = new Uint32Array(256);
  const bytes = new Uint8Array(table.buffer);
  const alpha = Math.round(255 * opacity());
  for (const { index, color, on } of classes()) if (on) bytes.set([...rgb(color), alpha], 4 * index);
  return table;
}

/** "#rrggbb" → [red, green, blue]. */
export const rgb = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));

/** Call `fn` whenever the painting of classes changes. Returns what ends it. */
export function onClasses(fn) {
  listeners.add(fn);
  return () => listeners.delete(fn);
}

/** Switch one class off, or on again. */
export function toggle(index) {
  const off = switchedOff();
  if (!off.delete(index)) off.add(index);
  setOff(off);
}

/** Show one class alone; a second time, all of them. */
export function solo(index) {
  setOff(isSolo(index) ? new Set() : new Set(others(index)));
}

/** Is this class the only one that is on? */
export function isSolo(index) {
  const off = switchedOff();
  return off.size > 0 && !off.has(index) && others(index).every((each) => off.has(each));
}

/** Switch all classes on. */
export const allOn = () => setOff(new Set());

/** Give a class another colour; null gives back its own. */
export function recolor(index, color) {
  const edited = editedColors();
  const own = known.classes.find((each) => each.index === index)?.color;
  if (color === null || color === own) edited.delete(index);
  else edited.set(index, color);
  const pairs = [...edited].sort(([a], [b]) => a - b).map(([each, hex]) => `${each}:${hex.slice(1)}`);
  set({ colors: pairs.join(",") || null }, { replace: true });
}

/** Set the opacity, 0 to 100. */
export function setOpacity(value) {
  const whole = Math.round(Math.min(100, Math.max(0, value)));
  set({ alpha: whole === 50 ? null : whole }, { replace: true });
}

/** Indices of what is on, as text for those who listen. */
export const countOn = () => classes().filter((each) => each.on).length;

const others = (index) => known.classes.map((each) => each.index).filter((each) => each !== index);

function setOff(off) {
  set({ off: [...off].sort((a, b) => a - b).join(",") || null }, { replace: true });
}

function switchedOff() {
  return new Set(
    (param("off") ?? "")
      .split(",")
      .filter((part) => /^\d+$/.test(part))
      .map(Number),
  );
}

function editedColors() {
  const pairs = (param("colors") ?? "").split(",").map((part) => part.match(/^(\d+):([0-9a-f]{6})$/i));
  return new Map(pairs.filter(Boolean).map(([, index, hex]) => [Number(index), `#${hex.toLowerCase()}`]));
}

function tell() {
  for (const fn of [...listeners]) fn();
}

onChange((keys) => {
  if (paintKeys.some((key) => keys.has(key))) tell();
});
