// Colours the masks that the page carries: class indices on a canvas, through a table of 256 colours.
(() => {
  "use strict";
  const { colors, ignore } = JSON.parse(document.getElementById("classes").textContent);
  const rgb = colors.map((color) => [1, 3, 5].map((place) => parseInt(color.slice(place, place + 2), 16)));
  const wrong = [230, 0, 76];
  const masks = new WeakMap();
  const seen = new Set();

  // The indices of a mask, read once: the grey of an 8-bit PNG is the index.
  async function indices(image) {
    if (!masks.has(image)) masks.set(image, image.decode().then(() => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
      return { width: canvas.width, height: canvas.height, of: data.filter((_, place) => place % 4 === 0) };
    }));
    return masks.get(image);
  }

  const chosen = () => document.querySelector("input[name=layer]:checked")?.value ?? "none";
  const off = () => new Set([...document.querySelectorAll(".class:not(:checked)")].map((box) => Number(box.value)));

  async function paint(tile) {
    const layer = chosen(), hidden = off(), alpha = Math.round(2.55 * document.getElementById("alpha").value);
    const canvas = tile.querySelector("canvas");
    const mask = (name) => tile.querySelector(`.mask[data-layer="${name}"]`);
    const shown = mask(layer === "errors" ? "prediction" : layer), truth = mask("ground truth");
    if (!canvas) return;
    if (!shown) { canvas.width = canvas.width; return; }
    const prediction = await indices(shown), target = layer === "errors" && truth ? await indices(truth) : null;
    const pixels = new ImageData(prediction.width, prediction.height);
    prediction.of.forEach((index, place) => {
      if (target && (target.of[place] === ignore || target.of[place] === index)) return;
      if (hidden.has(index) || !rgb[index]) return;
      const stripe = target && ((place % prediction.width) + Math.floor(place / prediction.width)) % 6 < 3;
      pixels.data.set([...(stripe ? wrong : rgb[index]), target ? Math.max(alpha, 160) : alpha], 4 * place);
    });
    [canvas.width, canvas.height] = [prediction.width, prediction.height];
    canvas.getContext("2d").putImageData(pixels, 0, 0);
  }

  const repaint = () => { for (const tile of seen) paint(tile); };
  const watch = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) seen.delete(target);
      else { seen.add(target); paint(target); }
    }
  }, { rootMargin: "200px" });
  for (const tile of document.querySelectorAll(".tile")) watch.observe(tile);
  for (const control of document.querySelectorAll("input")) control.addEventListener("input", repaint);
})();
