/**
 * Where the pictures of a call go. Pure functions: sizes in, boxes out.
 * @module
 */

export const GAP = 8;
const RATIO = 16 / 9;
const NARROW = 4 / 5; // on an upright screen a face needs height, not width
const LEAST = 96; // pixels of width; more tiles than fit at this size make the page scroll

/**
 * @typedef {object} Box pixels
 * @property {number} x
 * @property {number} y
 * @property {number} width
 * @property {number} height
 */

/**
 * The number of columns that makes tiles the largest.
 * @param {number} count
 * @param {number} width
 * @param {number} height
 * @param {number} ratio width by height of a tile
 * @param {number} [least] width of a tile
 * @returns {{columns: number, width: number, height: number}} of a tile
 */
export function fit(count, width, height, ratio, least = LEAST) {
  let best = { columns: 1, width: 0, height: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const wide = (width - GAP * (columns - 1)) / columns;
    const high = (height - GAP * (rows - 1)) / rows;
    const tile = Math.min(wide, high * ratio);
    if (tile > best.width) best = { columns, width: tile, height: tile / ratio };
  }
  if (best.width >= least || count === 0) return best;
  const columns = Math.max(1, Math.floor((width + GAP) / (least + GAP)));
  const tile = Math.max(1, (width - GAP * (columns - 1)) / columns);
  return { columns, width: tile, height: tile / ratio };
}

/**
 * Tiles of one size in rows, in the middle of the area; the last row is centred.
 * @param {number} count
 * @param {number} width of the area
 * @param {number} height
 * @param {number} [least] width of a tile
 * @returns {Box[]}
 */
export function grid(count, width, height, least = LEAST) {
  if (count <= 0 || width <= 0 || height <= 0) return [];
  const upright = width < height;
  const tile = best(count, width, height, upright ? [NARROW, 1, RATIO] : [RATIO], least);
  const rows = Math.ceil(count / tile.columns);
  const above = Math.max(0, (height - rows * tile.height - GAP * (rows - 1)) / 2);
  return Array.from({ length: count }, (_, i) => {
    const row = Math.floor(i / tile.columns);
    const inRow = row === rows - 1 ? count - row * tile.columns : tile.columns;
    const left = (width - inRow * tile.width - GAP * (inRow - 1)) / 2;
    return {
      x: Math.round(left + (i % tile.columns) * (tile.width + GAP)),
      y: Math.round(above + row * (tile.height + GAP)),
      width: Math.floor(tile.width),
      height: Math.floor(tile.height),
    };
  });
}

/** The shape that covers the most of the area. */
function best(count, width, height, ratios, least) {
  const area = (tile) => tile.width * tile.height;
  return ratios.map((ratio) => fit(count, width, height, ratio, least)).reduce((a, b) => (area(b) > area(a) * 1.02 ? b : a));
}

/**
 * One picture large, the others in a strip beside it, or below it on an upright screen.
 * @param {number} count of the others
 * @param {number} width
 * @param {number} height
 * @returns {{stage: Box, others: Box[]}}
 */
export function stage(count, width, height) {
  if (count <= 0) return { stage: { x: 0, y: 0, width, height }, others: [] };
  const upright = width < height;
  const strip = upright
    ? { x: 0, y: Math.round(height * 0.62), width, height: Math.floor(height * 0.38) }
    : { x: Math.round(width * 0.79), y: 0, width: Math.floor(width * 0.21), height };
  const large = upright
    ? { x: 0, y: 0, width, height: strip.y - GAP }
    : { x: 0, y: 0, width: strip.x - GAP, height };
  const others = grid(count, strip.width, strip.height, 1).map((box) => ({ ...box, x: box.x + strip.x, y: box.y + strip.y }));
  return { stage: large, others };
}
