// Pictures of hash tables: prefix tables with leaf sets, zones of a torus, affinity groups, a butterfly.

import { fit } from "./canvas.js";

const TURN = 2 * Math.PI;

function dot(context, x, y, radius, fill) {
  context.beginPath();
  context.arc(x, y, radius, 0, TURN);
  context.fillStyle = fill;
  context.fill();
}

/** Where an identifier stands among all, from 0 to 1; its first 13 hex digits are exact enough. */
const fraction = (hex) => parseInt(hex.slice(0, 13), 16) / 16 ** 13;

const DIGITS = 16;
const rows = (links) => links.filter(({ what }) => what === "row" || what === "backup");
/** Rows of a prefix table that are worth drawing. */
const depth = (links) => 1 + Math.max(0, ...rows(links).map(({ rank }) => rank));
const hasLeaves = (links) => links.some(({ what }) => what === "before" || what === "after");

/** Pixels that the tables of a node want. */
export function overlayHeight({ system, links }) {
  if (system === "pastry" || system === "tapestry") return 72 + 34 * depth(links) + (hasLeaves(links) ? 84 : 0);
  return system === "kelips" ? 220 : 380;
}

/** A row for each digit that others share with us, a column for what their next digit is. */
function table(context, width, top, colours, { id, links }) {
  const left = 92;
  const step = Math.min(40, (width - left - 16) / DIGITS);
  const line = 34;
  context.textBaseline = "middle";
  context.textAlign = "center";
  context.fillStyle = colours.muted;
  for (let digit = 0; digit < DIGITS; digit += 1) context.fillText(digit.toString(16), left + step * (digit + 0.5), top);
  for (let row = 0; row < depth(links); row += 1) {
    const y = top + 14 + line * row;
    context.textAlign = "right";
    context.fillStyle = colours.text;
    context.fillText(`${id.slice(0, row)}·`, left - 12, y + line / 2 - 2);
    for (let digit = 0; digit < DIGITS; digit += 1) {
      const x = left + step * digit;
      const ours = parseInt(id[row], 16) === digit;
      context.fillStyle = ours ? colours["accent-soft"] : colours.sunken;
      context.fillRect(x + 1, y, step - 2, line - 4);
      const here = rows(links).filter((link) => link.rank === row && parseInt(link.id[row], 16) === digit);
      if (here.length === 0 && !ours) continue;
      const cx = x + step / 2;
      if (ours) dot(context, cx, y + line / 2 - 2, 4, colours.text);
      else here.forEach((link, at) => dot(context, cx + (at - (here.length - 1) / 2) * Math.min(9, step / here.length - 1), y + line / 2 - 2, at === 0 ? 5.5 : 3.5, link.what === "row" ? colours["accent-fill"] : colours.violet));
    }
  }
}

/** Whose places are next to ours, on both sides. */
function leaves(context, width, colours, { id, links }) {
  const before = links.filter(({ what }) => what === "before").reverse();
  const after = links.filter(({ what }) => what === "after");
  const y = 34;
  const reach = Math.max(before.length, after.length, 1);
  const step = (width / 2 - 40) / reach;
  context.strokeStyle = colours["line-strong"];
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(24, y);
  context.lineTo(width - 24, y);
  context.stroke();
  context.textBaseline = "middle";
  context.textAlign = "center";
  const mark = (node, at, colour, radius) => {
    const x = width / 2 + at * step;
    dot(context, x, y, radius, colour);
    context.fillStyle = colours.muted;
    if (step > 48 || at === 0) context.fillText(node.id.slice(0, 6), x, y + 22);
  };
  before.forEach((node, at) => mark(node, at - before.length, colours.warn, 6));
  after.forEach((node, at) => mark(node, at + 1, colours["good-fill"], 6));
  mark({ id }, 0, colours.text, 9);
}

function drawPrefixes(context, width, height, colours, picture) {
  const lined = hasLeaves(picture.links);
  if (lined) leaves(context, width, colours, picture);
  table(context, width, lined ? 100 : 18, colours, picture);
}

/** The torus from above: our zones, and those that touch them. */
function drawZones(context, width, height, colours, { zones }) {
  const side = Math.min(width, height) - 32;
  const [x0, y0] = [(width - side) / 2, 16];
  context.fillStyle = colours.sunken;
  context.fillRect(x0, y0, side, side);
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const { owner, left, top, width: w, height: h } of zones) {
    const box = [x0 + left * side, y0 + top * side, w * side, h * side];
    context.fillStyle = owner ? colours["accent-soft"] : colours["accent-fill"];
    context.fillRect(...box);
    context.strokeStyle = colours["line-strong"];
    context.lineWidth = 1;
    context.strokeRect(...box);
    context.fillStyle = owner ? colours.text : colours.surface;
    if (owner && box[2] > 60 && box[3] > 16) context.fillText(fit(context, owner, box[2] - 8), box[0] + box[2] / 2, box[1] + box[3] / 2);
  }
  context.strokeStyle = colours.text;
  context.strokeRect(x0, y0, side, side);
}

/** The groups side by side: of ours all members, of the others a few contacts. */
function drawGroups(context, width, height, colours, { rank, ranks, links }) {
  const across = Math.min(ranks, Math.max(1, Math.floor(width / 150)));
  const [w, h] = [(width - 16) / across, (height - 16) / Math.ceil(ranks / across)];
  context.textBaseline = "middle";
  context.textAlign = "left";
  for (let group = 0; group < ranks; group += 1) {
    const [x, y] = [8 + (group % across) * w, 8 + Math.floor(group / across) * h];
    const ours = group === rank;
    context.fillStyle = ours ? colours["accent-soft"] : colours.sunken;
    context.fillRect(x + 4, y + 4, w - 8, h - 8);
    context.fillStyle = colours.muted;
    context.fillText(String(group), x + 14, y + 18);
    const here = links.filter((link) => link.rank === group);
    const all = ours ? [{ id: null }, ...here] : here;
    const columns = Math.max(1, Math.floor((w - 32) / 22));
    all.forEach((link, at) => {
      const [cx, cy] = [x + 24 + (at % columns) * 22, y + 44 + Math.floor(at / columns) * 22];
      if (cy < y + h - 10) dot(context, cx, cy, link.id === null ? 9 : 6.5, link.id === null ? colours.text : link.what === "member" ? colours["good-fill"] : colours["accent-fill"]);
    });
  }
}

const RING = ["successor", "predecessor", "stand_in"];

/** The levels of the butterfly from above to below, and the ring under them; each node at its place along it. */
function drawButterfly(context, width, height, colours, { id, rank, links }) {
  const levels = Math.max(rank, ...links.map((link) => link.rank)) + 1;
  const [top, bottom] = [26, height - 34];
  const y = (level) => top + ((bottom - 50 - top) * level) / Math.max(1, levels);
  const x = (hex) => 54 + fraction(hex) * (width - 84);
  context.textBaseline = "middle";
  context.lineWidth = 1;
  for (let level = 1; level <= levels; level += 1) {
    context.strokeStyle = colours.line;
    context.beginPath();
    context.moveTo(44, y(level - 1));
    context.lineTo(width - 20, y(level - 1));
    context.stroke();
    context.textAlign = "right";
    context.fillStyle = colours.muted;
    context.fillText(String(level), 34, y(level - 1));
  }
  context.strokeStyle = colours["line-strong"];
  context.beginPath();
  context.moveTo(44, bottom);
  context.lineTo(width - 20, bottom);
  context.stroke();
  const me = [x(id), y(rank - 1)];
  const mine = [x(id), bottom];
  const draw = (from, to, colour) => {
    context.beginPath();
    context.moveTo(...from);
    context.quadraticCurveTo((from[0] + to[0]) / 2, (from[1] + to[1]) / 2 - (from[1] === to[1] ? 26 : 0), ...to);
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    context.stroke();
    dot(context, ...to, 6, colour);
  };
  const colour = { up: colours.warn, down_left: colours["accent-fill"], down_right: colours["accent-fill"], next: colours.violet, previous: colours.violet, stand_in: colours["line-strong"] };
  for (const link of links) {
    const ring = RING.includes(link.what);
    draw(ring ? mine : me, [x(link.id), ring ? bottom : y(link.rank - 1)], colour[link.what] ?? colours["good-fill"]);
  }
  dot(context, ...me, 10, colours.text);
  dot(context, ...mine, 7, colours.text);
  const right = me[0] > width - 110;
  context.textAlign = right ? "right" : "left";
  context.fillStyle = colours.text;
  context.fillText(id.slice(0, 8), me[0] + (right ? -16 : 16), me[1] + 14);
}

const DRAWN = { pastry: drawPrefixes, tapestry: drawPrefixes, can: drawZones, kelips: drawGroups, viceroy: drawButterfly };

/** Draws what a node of a hash table knows, by which one it is. */
export function drawOverlay(context, width, height, colours, picture) {
  DRAWN[picture.system]?.(context, width, height, colours, picture);
}
