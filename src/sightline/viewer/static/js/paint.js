/** Canvases that show masks: registered here, painted by the worker, repainted whenever a class changes. */

import { classes, facts, lut, onClasses, opacity, rgb } from "./colors.js";

const worker = new Worker("/static/js/paint-worker.js");
const surfaces = new Map();
const waiting = new Map();
let ids = 0;
let due = null;
let job = 0;
let busy = false;
let asked = 0;

/**
 * Hand the masks {layer: PNG bytes} of a picture to the worker under `key`. Resolves to {width, height, layers} once
 * they are decoded; `layers` holds the class indices only with `pixels`. The bytes are moved, not copied.
 */
export function load(key, layers, { pixels = false } = {}) {
  return new Promise((resolve, reject) => {
    waiting.set(key, { resolve, reject });
    worker.postMessage({ type: "load", key, layers, pixels }, Object.values(layers));
  });
}

/** Forget pictures. */
export const drop = (keys) => worker.postMessage({ type: "drop", keys });

/** Let `canvas` show a layer of the picture `key`: "target", "prediction", "b", "error", "error_b" …; null: nothing. */
export function show(canvas, key, layer, { outline = true } = {}) {
  if (!layer || layer === "none") {
    hide(canvas);
    return;
  }
  const surface = surfaces.get(canvas) ?? { id: ids++, canvas };
  surfaces.set(canvas, Object.assign(surface, { key, layer, outline }));
  repaint([surface]);
}

/** Clear `canvas` and paint it no more. */
export function hide(canvas) {
  surfaces.delete(canvas);
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}

function repaint(which) {
  if (!due) {
    due = new Set();
    asked = performance.now();
  }
  for (const surface of which) due.add(surface);
  if (!busy) queueMicrotask(send);
}

function send() {
  if (busy || !due?.size) return;
  const wanted = [...due].filter((each) => surfaces.get(each.canvas) === each);
  due = null;
  if (!wanted.length) return;
  busy = true;
  const on = new Uint8Array(256);
  for (const each of classes()) on[each.index] = Number(each.on);
  const described = wanted.map(({ id, key, layer, outline }) => ({
    id,
    key,
    layer,
    outline: outline ? edges() : null,
  }));
  worker.postMessage({
    type: "paint",
    job: ++job,
    table: colored(lut()),
    on,
    ignore: facts().ignore_index,
    surfaces: described,
  });
}

/** The error map paints a predicted class that is switched off too, where the true class is on: it needs its colour. */
function colored(table) {
  const bytes = new Uint8Array(table.buffer);
  for (const { index, color, on } of classes()) {
    if (!on) bytes.set(rgb(color), 4 * index);
  }
  return table;
}

/** The lines between classes fade only with a mask that is nearly clear. */
function edges() {
  const strength = Math.min(1, opacity() * 5);
  const alpha = (most) => Math.round(most * strength) << 24;
  return { light: alpha(0xe0) | 0xffffff, dark: alpha(0x90) };
}

const heard = {
  loaded({ key, width, height, layers }) {
    waiting.get(key)?.resolve({ width, height, layers });
    waiting.delete(key);
    repaint([...surfaces.values()].filter((surface) => surface.key === key));
  },
  failed({ key, reason }) {
    waiting.get(key)?.reject(new Error(reason));
    waiting.delete(key);
  },
  painted({ pictures, ms }) {
    const byId = new Map([...surfaces.values()].map((surface) => [surface.id, surface.canvas]));
    for (const each of pictures) put(byId.get(each.id), each);
    busy = false;
    const detail = { surfaces: pictures.length, worker: ms, ms: performance.now() - asked };
    document.dispatchEvent(new CustomEvent("sightline:painted", { detail }));
    send();
  },
};

function put(canvas, { width, height, buffer }) {
  if (!canvas) return;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(buffer), width, height), 0, 0);
}

worker.onmessage = ({ data }) => heard[data.type](data);
onClasses(() => repaint(surfaces.values()));
