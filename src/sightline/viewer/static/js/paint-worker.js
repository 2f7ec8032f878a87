/**
 * Paints masks away from the page's thread. Each mask is decoded once into an array of class indices; painting looks
 * every pixel up in a table of 256 colours, so that a class switched off, a new colour or opacity asks the server nothing.
 */

const kept = new Map();

const doings = { load, paint, drop };

self.onmessage = ({ data }) => doings[data.type](data);

/** Decode the layers {name: PNG bytes} of a picture. `pixels`: send the indices back too, for the readout. */
async function load({ key, layers, pixels }) {
  const picture = { width: 0, height: 0, layers: {} };
  try {
    for (const [name, bytes] of Object.entries(layers)) await decode(bytes, picture, name);
  } catch (error) {
    self.postMessage({ type: "failed", key, reason: `The mask cannot be decoded: ${error.message}` });
    return;
  }
  kept.set(key, picture);
  self.postMessage({
    type: "loaded",
    key,
    width: picture.width,
    height: picture.height,
    layers: pixels ? picture.layers : null,
  });
}

/** The indices are the red channel: no colour management may touch them. */
async function decode(bytes, picture, name) {
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }), options);
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const indices = new Uint8Array(width * height);
  for (let i = 0; i < indices.length; i++) indices[i] = data[4 * i];
  if (picture.width && (picture.width !== width || picture.height !== height)) {
    throw new Error(`it is ${width} × ${height}, the other one ${picture.width} × ${picture.height}`);
  }
  Object.assign(picture, { width, height });
  picture.layers[name] = indices;
}

function drop({ keys }) {
  for (const key of keys) kept.delete(key);
}

/** Paint the surfaces [{id, key, layer, outline}] with one look-up table. */
function paint({ job, table, on, ignore, surfaces }) {
  const start = performance.now();
  const pictures = surfaces.map((surface) => picture(surface, { table, on, ignore })).filter(Boolean);
  const ms = performance.now() - start;
  self.postMessage(
    { type: "painted", job, ms, pictures },
    pictures.map((each) => each.buffer),
  );
}

function picture({ id, key, layer, outline }, style) {
  const found = kept.get(key);
  if (!found) return null;
  const { width, height, layers } = found;
  const pixels = new Uint32Array(width * height);
  const errors = layer.startsWith("error");
  const prediction = layers[errors ? layer.replace(/^error_?/, "") || "prediction" : layer];
  if (errors && layers.target && prediction) hatch(pixels, width, layers.target, prediction, style);
  else if (!errors && prediction) cover(pixels, width, prediction, style, outline);
  return { id, width, height, buffer: pixels.buffer };
}

/** Colour every pixel, then draw a line where one class meets another: dark on one side, light on the other. */
function cover(pixels, width, indices, { table, on }, outline) {
  for (let i = 0; i < indices.length; i++) pixels[i] = table[indices[i]];
  if (!outline) return;
  const end = indices.length - width - 1;
  const light = outline.light >>> 0;
  const dark = outline.dark >>> 0;
  for (let i = 0; i < end; i++) {
    const here = indices[i];
    const right = indices[i + 1];
    const below = indices[i + width];
    if (here === right && here === below) continue;
    if (!on[here] && !(on[right] && here !== right) && !(on[below] && here !== below)) continue;
    if ((i + 1) % width === 0) continue;
    pixels[i] = light;
    if (here !== right) pixels[i + 1] = dark;
    else pixels[i + width] = dark;
  }
}

/** Wrong pixels in the colour of the predicted class, with stripes; right and ignored ones stay clear. */
function hatch(pixels, width, target, prediction, { table, on, ignore }) {
  const period = Math.max(6, Math.round(width / 110));
  const stripe = Math.max(2, Math.round(period / 3));
  for (let i = 0; i < target.length; i++) {
    const is = target[i];
    const said = prediction[i];
    if (is === said || is === ignore || !(on[is] || on[said])) continue;
    const x = i % width;
    const y = (i - x) / width;
    pixels[i] = (x + y) % period < stripe ? stripes(table[said]) : (table[said] & 0xffffff) | 0xd8000000;
  }
}

/** White stripes on a dark colour, black ones on a light colour. */
function stripes(color) {
  const light = 0.299 * (color & 255) + 0.587 * ((color >> 8) & 255) + 0.114 * ((color >> 16) & 255);
  return light > 140 ? 0xff000000 : 0xffffffff;
}
