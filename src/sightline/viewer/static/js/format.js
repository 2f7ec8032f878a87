/** Numbers as people read them. An undefined value is "–", never 0. */

export const NONE = "–";

const plain = new Map();

function formatter(digits) {
  if (!plain.has(digits)) {
    const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    plain.set(digits, new Intl.NumberFormat("en", options));
  }
  return plain.get(digits);
}

const missing = (x) => x === null || x === undefined || Number.isNaN(x);

/** 1234.5 → "1,234.5" with `digits` after the point (0 unless told). */
export function number(x, digits = 0) {
  return missing(x) ? NONE : formatter(digits).format(x);
}

/** 0.1234 → "12.3%"; what is there but rounds to nothing is "<0.1%". */
export function percent(x) {
  if (missing(x)) return NONE;
  if (x > 0 && x < 0.0005) return "<0.1%";
  return `${formatter(1).format(100 * x)}%`;
}

/** An IoU: "0.527", or "–" where it is undefined. */
export function iou(x) {
  return number(x, 3);
}

/** A difference with its sign: "+0.012", "−0.300". */
export function signed(x, digits = 3) {
  if (missing(x)) return NONE;
  const text = formatter(digits).format(Math.abs(x));
  if (Number(text) === 0) return text;
  return (x < 0 ? "−" : "+") + text;
}

/** 1536 → "1.5 kB". */
export function bytes(n) {
  if (missing(n)) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = n < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(n) / 3));
  return `${number(n / 1000 ** power, power ? 1 : 0)} ${units[power]}`;
}

/** count(1, "image") → "1 image"; count(3, "image") → "3 images". */
export function count(n, word, many = `${word}s`) {
  return `${number(n)} ${n === 1 ? word : many}`;
}
