// The map of pieces: one small square each, or one for several when there are many.

const CELL = 9;
const GAP = 1;

/** Whether piece `n` is in the bitfield. */
const has = (bytes, n) => (bytes[n >> 3] & (0x80 >> (n & 7))) !== 0;

/** Bytes of a base64 bitfield. */
export const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/** How many rows the map of `total` pieces takes at `width` pixels, and how many pieces a square stands for. */
export function layout(total, width, rowsMax = 28) {
  const columns = Math.max(1, Math.floor(width / (CELL + GAP)));
  const each = Math.max(1, Math.ceil(total / (columns * rowsMax)));
  return { columns, each, rows: Math.max(1, Math.ceil(total / each / columns)) };
}

export const heightOf = (total, width) => layout(total, width).rows * (CELL + GAP);

/** Draws the map; a square is as strong as the share of its pieces that are here. */
export function drawPieces(context, width, total, bytes, colours) {
  const { columns, each } = layout(total, width);
  for (let first = 0, at = 0; first < total; first += each, at += 1) {
    let have = 0;
    const end = Math.min(total, first + each);
    for (let n = first; n < end; n += 1) have += has(bytes, n) ? 1 : 0;
    const x = (at % columns) * (CELL + GAP);
    const y = Math.floor(at / columns) * (CELL + GAP);
    context.fillStyle = colours.line;
    context.fillRect(x, y, CELL, CELL);
    if (have > 0) {
      context.globalAlpha = 0.35 + 0.65 * (have / (end - first));
      context.fillStyle = colours["accent-fill"];
      context.fillRect(x, y, CELL, CELL);
      context.globalAlpha = 1;
    }
  }
}
