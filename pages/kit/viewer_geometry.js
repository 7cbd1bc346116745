// Geometry and statistics of the viewer, without the page: points are {x, y}, in pixels of the screen or of the image.
// A view is {zoom, x, y}: zoom 1 fits the image into its box, (x, y) moves its center, in pixels of the screen.

const MAX_ZOOM = 16;

export const distance = (a, b) => Math.hypot(b.x - a.x, b.y - a.y);
export const middle = (a, b) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });

// Screen pixels for each pixel of an image {width, height} that just fits into a box {width, height}.
export function fitScale(size, box) {
  return Math.min(box.width / size.width, box.height / size.height) || 1;  // 0: the box is not laid out yet
}

// The zoom at which each pixel of the image covers one of the display, which has `ratio` for each of the screen's.
export function oneToOne(size, box, ratio) {
  return Math.min(MAX_ZOOM, 1 / (fitScale(size, box) * ratio));
}

// Zoom about a point of the screen that stays where it is, as seen from the center of the box; from `least` to 16.
export function zoomAbout(view, factor, point, least = 1) {
  const zoom = Math.min(MAX_ZOOM, Math.max(least, view.zoom * factor));
  if (zoom <= 1) return { zoom, x: 0, y: 0 };
  const grown = zoom / view.zoom;
  return { zoom, x: point.x - (point.x - view.x) * grown, y: point.y - (point.y - view.y) * grown };
}

export function pan(view, by) {
  return view.zoom <= 1 ? { zoom: view.zoom, x: 0, y: 0 } : { zoom: view.zoom, x: view.x + by.x, y: view.y + by.y };
}

// Two fingers went from one pair of points to another: what was between them stays between them.
export function pinch(view, [a, b], [c, d], least = 1) {
  const [from, to] = [middle(a, b), middle(c, d)];
  const zoomed = zoomAbout(view, distance(c, d) / Math.max(1, distance(a, b)), from, least);
  return pan(zoomed, { x: to.x - from.x, y: to.y - from.y });
}

// A point of the screen, as seen from the center of the box, in pixels of the image, kept inside of it.
export function toImage(point, size, box, view) {
  const scale = fitScale(size, box) * view.zoom;
  const inside = (value, most) => Math.min(most, Math.max(0, value));
  return {
    x: inside((point.x - view.x) / scale + size.width / 2, size.width),
    y: inside((point.y - view.y) / scale + size.height / 2, size.height),
  };
}

// Pixels of the original, `reduction` of them for each that is shown, between two points; millimeters too where
// `spacing`, those between its rows and between its columns, is known.
export function lengthOf(from, to, spacing, reduction = 1) {
  const [x, y] = [reduction * (to.x - from.x), reduction * (to.y - from.y)];
  return { pixels: Math.hypot(x, y), mm: spacing ? Math.hypot(y * spacing[0], x * spacing[1]) : null };
}

// Number, mean and standard deviation of the gray levels whose pixel's center is inside the ellipse between two
// corners, and the shares of black (0) and white (255) ones. `levels` are rows from the top.
export function regionOf(levels, width, from, to) {
  const center = middle(from, to), radius = { x: Math.abs(to.x - from.x) / 2, y: Math.abs(to.y - from.y) / 2 };
  let [count, sum, squares, black, white] = [0, 0, 0, 0, 0];
  for (let y = Math.floor(center.y - radius.y); y < center.y + radius.y; y++)
    for (let x = Math.floor(center.x - radius.x); x < center.x + radius.x; x++) {
      if (((x + 0.5 - center.x) / radius.x) ** 2 + ((y + 0.5 - center.y) / radius.y) ** 2 > 1) continue;
      const level = levels[y * width + x];
      count++; sum += level; squares += level * level; black += level === 0; white += level === 255;
    }
  const mean = sum / count;
  const deviation = Math.sqrt(Math.max(0, squares / count - mean * mean));
  return { count, mean, deviation, black: black / count, white: white / count };
}

// A gray level on the scale {low, high, unit} of an image, and a difference of levels.
export const toUnit = (level, scale) => scale.low + level * (scale.high - scale.low) / 255;
const spread = (levels, scale) => levels * (scale.high - scale.low) / 255;
const number = (value, digits = 1) => value.toLocaleString("en-US", { maximumFractionDigits: digits });

export function describeLength({ pixels, mm }) {
  return mm === null ? `${number(pixels)} pixels` : `${number(mm)} mm (${number(pixels)} pixels)`;
}

export function describeRegion({ count, mean, deviation, black, white }, scale) {
  if (!count) return "too small: no pixel lies in it";
  const unit = scale.unit || " of 255", ends = [["black", black, scale.low], ["white", white, scale.high]];
  const beyond = ends.filter(([, share]) => share > 0).map(([name, share, end]) => {
    const meaning = scale.unit ? ` (${number(end, 0)}${scale.unit} or beyond)` : "";
    return `, ${number(100 * share)} % ${name}${meaning}`;
  });
  return `mean ${number(toUnit(mean, scale))}${unit}, deviation ${number(spread(deviation, scale))}${scale.unit}, `
    + `${number(count, 0)} pixels${beyond.join("")}`;
}
