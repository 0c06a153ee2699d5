// Live pictures of networks: the swarm by who sends to whom, Kademlia's buckets, Chord's ring.

import { fit } from "./canvas.js";

const TURN = 2 * Math.PI;
/** Colours of what nodes send, in turn. */
const FLOWS = ["accent", "warn", "good-fill", "bad", "violet", "teal"];

function dot(context, x, y, radius, fill, stroke) {
  context.beginPath();
  context.arc(x, y, radius, 0, TURN);
  context.fillStyle = fill;
  context.fill();
  if (stroke) {
    context.strokeStyle = stroke;
    context.lineWidth = 2;
    context.stroke();
  }
}

/** Pixels that a dot of payload travels per second. */
const SPEED = 110;
/** Most dots on their way over one line. */
const DOTS_MAX = 7;

/** Points of a quadratic curve from `a` over `m` to `b`. */
const along = (a, m, b, part) => [0, 1].map((k) => (1 - part) ** 2 * a[k] + 2 * part * (1 - part) * m[k] + part ** 2 * b[k]);

/** How much of `wanted` a value takes on in a frame: what is told once a second moves evenly. */
const ease = (value, wanted, moving) => (moving ? value + (wanted - value) * 0.08 : wanted);

/**
 * Draws swarms, one after the other, and remembers between frames how wide lines were. Nodes stand in a circle, this
 * node in the middle if it takes part; a line is as wide as what it carries, and dots run along it to whom they are for.
 */
export function swarmPainter() {
  const widths = new Map();
  const shares = new Map();
  return (context, width, height, colours, seconds, { nodes, edges }) => {
    const moving = seconds !== null;
    const own = nodes.some((node) => node.id === "me");
    const others = nodes.filter((node) => node.id !== "me");
    const [cx, cy] = [width / 2, height / 2];
    const radius = others.length > 60 ? 5 : others.length > 24 ? 9 : 17;
    const [rx, ry] = [Math.max(40, Math.min(width / 2 - 74, height * 0.85)), Math.max(40, height / 2 - radius - 30)];
    const places = new Map([["me", [cx, cy]]]);
    others.forEach((node, at) => {
      // One or two stand beside this node, where there is the most room.
      const angle = (at / others.length) * TURN - (own && others.length < 3 ? TURN / 2 : TURN / 4);
      places.set(node.id, [cx + rx * Math.cos(angle), cy + ry * Math.sin(angle)]);
    });
    const hue = new Map(others.map((node, at) => [node.id, colours[FLOWS[at % FLOWS.length]]]));
    // While nothing moves, lines are as wide as what they have carried.
    const rests = edges.every((edge) => edge.rate === 0);
    const carries = (edge) => (rests ? edge.bytes : edge.rate);
    const most = Math.max(1, ...edges.map(carries));
    for (const edge of edges) {
      const { from, to, rate } = edge;
      const [a, b] = [places.get(from), places.get(to)];
      if (!a || !b) continue;
      const name = `${from}>${to}`;
      const wide = ease(widths.get(name) ?? 0, carries(edge) > 0 ? 1.2 + 5 * Math.sqrt(carries(edge) / most) : 0, moving);
      widths.set(name, wide);
      // The two directions bend to different sides, so that both can be seen.
      const m = [(a[0] + b[0]) / 2 - (b[1] - a[1]) * 0.13, (a[1] + b[1]) / 2 + (b[0] - a[0]) * 0.13];
      const colour = own ? (to === "me" ? colours.accent : colours.warn) : hue.get(from);
      context.beginPath();
      context.moveTo(...a);
      context.quadraticCurveTo(...m, ...b);
      context.lineWidth = Math.max(1, wide);
      context.strokeStyle = wide > 0.3 ? colour : colours.line;
      context.globalAlpha = wide > 0.3 ? 0.38 : 1;
      context.stroke();
      context.globalAlpha = 1;
      if (wide <= 0.3 || rate === 0) continue;
      const length = Math.hypot(b[0] - a[0], b[1] - a[1]);
      const dots = moving ? Math.max(1, Math.min(DOTS_MAX, Math.round(wide))) : 1;
      for (let n = 0; n < dots; n += 1) {
        const part = moving ? ((seconds * SPEED) / length + n / dots) % 1 : 0.62;
        dot(context, ...along(a, m, b, part), 1.6 + wide / 2.4, colour);
      }
    }
    context.textBaseline = "middle";
    context.textAlign = "center";
    const node = ({ id, label, progress }, [x, y], size) => {
      const share = ease(shares.get(id) ?? progress ?? 0, progress ?? 0, moving);
      shares.set(id, share);
      dot(context, x, y, size, colours.surface, colours.line);
      context.beginPath();
      context.arc(x, y, size, -TURN / 4, -TURN / 4 + TURN * share);
      context.lineWidth = Math.max(3, size / 4);
      context.strokeStyle = share >= 0.999 ? colours["good-fill"] : own ? colours["accent-fill"] : (hue.get(id) ?? colours.accent);
      context.stroke();
      context.fillStyle = colours.text;
      if (size >= 15) context.fillText(`${Math.floor(share * 100 + 1e-6)}`, x, y);
      if (others.length <= 40) context.fillText(fit(context, label || id, 140), x, y + (y >= cy - 1 ? size + 15 : -size - 14));
    };
    for (const other of others) node(other, places.get(other.id), radius);
    const me = nodes.find(({ id }) => id === "me");
    if (me) node(me, [cx, cy], 24);
  };
}

/** Buckets from the farthest to the nearest that holds anybody. */
function levels(buckets) {
  const deepest = Math.max(0, ...buckets.filter((bucket) => bucket.nodes.length > 0).map((bucket) => bucket.bits));
  return buckets.filter((bucket) => bucket.bits <= deepest).sort((a, b) => a.bits - b.bits);
}

/** Pixels that the tree of these buckets wants. */
export const treeHeight = (buckets) => Math.min(560, 90 + 40 * levels(buckets).length);

/**
 * The table as the tree of identifiers: at each level our own path goes on, and the other half of what is left hangs
 * to the right of it, with the nodes of it that are known; hollow ones wait for a place.
 */
export function drawKademlia(context, width, height, colours, { buckets, id }) {
  const shown = levels(buckets);
  const step = Math.min(40, (height - 70) / Math.max(1, shown.length));
  const indent = Math.min(16, (width * 0.18) / Math.max(1, shown.length));
  const fills = { good: colours["good-fill"], questionable: colours.warn, bad: colours.bad };
  const at = (level) => [46 + indent * level, 26 + step * level];
  context.textBaseline = "middle";
  context.lineWidth = 1.5;
  shown.forEach((bucket, level) => {
    const [x, y] = at(level);
    const [nextX, nextY] = at(level + 1);
    context.strokeStyle = colours["line-strong"];
    context.beginPath();
    context.moveTo(nextX, nextY);
    context.lineTo(x, y);
    context.lineTo(x + 26, y);
    context.stroke();
    // The half of the tree that is not ours.
    context.beginPath();
    context.moveTo(x + 22, y);
    context.lineTo(x + 52, y - step * 0.36);
    context.lineTo(x + 52, y + step * 0.36);
    context.closePath();
    context.fillStyle = colours["accent-soft"];
    context.fill();
    context.fillStyle = colours.muted;
    context.textAlign = "right";
    context.fillText(String(bucket.bits), x - 8, y);
    const all = bucket.nodes.length + bucket.replacements;
    const left = x + 68;
    const gap = Math.min(26, (width - left - 16) / Math.max(1, all));
    const radius = Math.min(7, gap / 2.3, step / 2.6);
    for (let n = 0; n < all; n += 1) {
      const node = bucket.nodes[n];
      if (node) dot(context, left + gap * n, y, radius, fills[node.state] ?? colours.muted);
      else dot(context, left + gap * n, y, radius - 1, colours.surface, colours["line-strong"]);
    }
  });
  const [x, y] = at(shown.length);
  dot(context, x, y, 9, colours["accent-fill"], colours.surface);
  context.fillStyle = colours.text;
  context.textAlign = "left";
  context.fillText(id.slice(0, 12), x + 16, y);
}

/** Where an identifier stands on the ring, as an angle; its first 13 hex digits are exact enough. */
const angleOf = (hex) => (parseInt(hex.slice(0, 13), 16) / 16 ** 13) * TURN - TURN / 4;

/** The ring: our place, the successors and the predecessor on it, fingers as chords across it. */
export function drawRing(context, width, height, colours, { id, predecessor, successors, fingers }) {
  const [cx, cy] = [width / 2, height / 2];
  const radius = Math.max(40, Math.min(width, height) / 2 - 48);
  const at = (hex) => {
    const angle = angleOf(hex);
    return [cx + radius * Math.cos(angle), cy + radius * Math.sin(angle)];
  };
  context.beginPath();
  context.arc(cx, cy, radius, 0, TURN);
  context.strokeStyle = colours["line-strong"];
  context.lineWidth = 1.5;
  context.stroke();
  const me = at(id);
  for (const finger of fingers) {
    const [x, y] = at(finger.id);
    context.beginPath();
    context.moveTo(...me);
    // Bent towards the middle, the more the farther it reaches.
    context.quadraticCurveTo(cx + ((me[0] + x) / 2 - cx) * 0.45, cy + ((me[1] + y) / 2 - cy) * 0.45, x, y);
    context.strokeStyle = colours.accent;
    context.globalAlpha = 0.55;
    context.stroke();
    context.globalAlpha = 1;
    dot(context, x, y, 6, colours["accent-fill"], colours.surface);
  }
  for (const node of successors) dot(context, ...at(node.id), 7, colours["good-fill"], colours.surface);
  if (predecessor) dot(context, ...at(predecessor.id), 7, colours.warn, colours.surface);
  dot(context, ...me, 11, colours.text, colours.surface);
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = colours.muted;
  const named = new Map([...fingers, ...successors, ...(predecessor ? [predecessor] : [])].map((node) => [node.id, node.address]));
  for (const [hex, address] of named.size <= 24 && width >= 520 ? named : []) {
    const [x, y] = at(hex);
    context.textAlign = x < cx - 4 ? "right" : x > cx + 4 ? "left" : "center";
    context.fillText(fit(context, address, 140), cx + (x - cx) * (1 + 16 / radius), cy + (y - cy) * (1 + 16 / radius));
  }
  context.textAlign = me[0] < cx - 4 ? "right" : me[0] > cx + 4 ? "left" : "center";
  context.fillStyle = colours.text;
  context.fillText(id.slice(0, 8), cx + (me[0] - cx) * (1 + 20 / radius), cy + (me[1] - cy) * (1 + 20 / radius));
}
