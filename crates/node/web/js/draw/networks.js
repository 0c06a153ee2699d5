// Live pictures of networks: the swarm by who sends to whom, Kademlia's buckets, Chord's ring.

import { fit } from "./canvas.js";

const TURN = 2 * Math.PI;

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

/** Peers in a circle around this node; a line is as wide as what it carries, blue to us, amber from us. */
export function drawSwarm(context, width, height, colours, { nodes, edges }) {
  const others = nodes.filter((node) => node.id !== "me");
  const [cx, cy] = [width / 2, height / 2];
  const [rx, ry] = [Math.max(40, width / 2 - 90), Math.max(40, height / 2 - 44)];
  const places = new Map([["me", [cx, cy]]]);
  others.forEach((node, n) => {
    const angle = (n / others.length) * TURN - TURN / 4;
    places.set(node.id, [cx + rx * Math.cos(angle), cy + ry * Math.sin(angle)]);
  });
  const most = Math.max(1, ...edges.map((edge) => edge.rate));
  for (const { from, to, rate } of edges) {
    const [a, b] = [places.get(from), places.get(to)];
    if (!a || !b) continue;
    // The two directions bend to different sides, so that both can be seen.
    const [mx, my] = [(a[0] + b[0]) / 2 - (b[1] - a[1]) * 0.12, (a[1] + b[1]) / 2 + (b[0] - a[0]) * 0.12];
    context.beginPath();
    context.moveTo(...a);
    context.quadraticCurveTo(mx, my, ...b);
    context.lineWidth = 1.5 + 7 * Math.sqrt(rate / most);
    context.strokeStyle = to === "me" ? colours.accent : colours.warn;
    context.globalAlpha = 0.75;
    context.stroke();
    context.globalAlpha = 1;
  }
  context.textBaseline = "middle";
  for (const node of others) {
    const [x, y] = places.get(node.id);
    dot(context, x, y, 11, colours.line, colours.surface);
    context.beginPath();
    context.moveTo(x, y);
    context.arc(x, y, 10, -TURN / 4, -TURN / 4 + TURN * (node.progress ?? 0));
    context.fillStyle = (node.progress ?? 0) >= 1 ? colours["good-fill"] : colours["accent-fill"];
    context.fill();
    if (others.length <= 40) {
      context.fillStyle = colours.text;
      context.textAlign = "center";
      context.fillText(fit(context, node.label ?? node.id, 150), x, y + (y >= cy ? 24 : -24));
    }
  }
  dot(context, cx, cy, 15, colours["accent-fill"], colours.surface);
}

const BITS = 160;

/** Our buckets as a tree: the spine is our own identifier, a branch leaves it where others differ. */
export function drawKademlia(context, width, height, colours, { buckets }) {
  const shown = [...buckets].filter((bucket) => bucket.nodes.length > 0).sort((a, b) => a.bits - b.bits);
  const step = Math.min(34, (height - 40) / Math.max(1, shown.length));
  const fills = { good: colours["good-fill"], questionable: colours.warn, bad: colours.bad };
  const spine = 64;
  context.strokeStyle = colours["line-strong"];
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(spine, 12);
  context.lineTo(spine, 20 + step * shown.length);
  context.stroke();
  context.textBaseline = "middle";
  shown.forEach((bucket, n) => {
    const y = 22 + step * n;
    context.beginPath();
    context.moveTo(spine, y - step / 3);
    context.lineTo(spine + 24, y);
    context.lineTo(width - 12, y);
    context.strokeStyle = colours.line;
    context.stroke();
    context.fillStyle = colours.muted;
    context.textAlign = "right";
    context.fillText(`${bucket.bits}/${BITS}`, spine - 10, y);
    const gap = Math.min(26, (width - spine - 60) / Math.max(1, bucket.nodes.length));
    bucket.nodes.forEach((node, at) => dot(context, spine + 40 + gap * at, y, Math.min(7, gap / 2.2, step / 2.4), fills[node.state] ?? colours.muted));
  });
  dot(context, spine, 20 + step * shown.length, 9, colours["accent-fill"], colours.surface);
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
    context.quadraticCurveTo(cx, cy, x, y);
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
  context.fillText(id.slice(0, 8), cx + (me[0] - cx) * (1 + 26 / radius), cy + (me[1] - cy) * (1 + 26 / radius));
}
