// Moments of a run of the lab, played one after the other: lookups that jump around a ring or between the leaves of a
// tree, and swarms. What a moment is, the node says; here it is only drawn.

import { html, useEffect, useMemo, useReducer, useRef } from "../../vendor/htm-preact.js";
import * as api from "../api.js";
import { count, rate } from "../format.js";
import { t } from "../strings.js";
import { Picture } from "./canvas.js";
import { swarmPainter } from "./networks.js";

const TURN = 2 * Math.PI;
const WALKS = ["accent", "warn", "good-fill", "bad", "violet", "teal"];
/** Seconds that a message is on its way, and that a finished moment stays. */
const HOP = 0.22;
const REST = 0.9;
/** Seconds that a moment of a swarm stays. */
const LOOK = 1;
/** Moments that wait; with more, older ones are left out. */
const WAITING_MAX = 24;

/** The hops of a moment with when each begins: those of a walk one after the other, walks side by side. */
function timed(hops) {
  const next = new Map();
  return hops.map((hop) => {
    const at = next.get(hop.walk) ?? 0;
    next.set(hop.walk, at + 1);
    return { ...hop, at: at * HOP };
  });
}

const lasts = (scene) => (scene.kind === "swarm" ? LOOK : Math.max(0, ...timed(scene.hops).map(({ at }) => at + HOP)) + REST);

function circle(context, x, y, radius, fill) {
  context.beginPath();
  context.arc(x, y, radius, 0, TURN);
  context.fillStyle = fill;
  context.fill();
}

/** Where places are on a ring, and the way between two of them: through the inside. */
function ring(width, height) {
  const [cx, cy] = [width / 2, height / 2];
  const radius = Math.max(40, Math.min(width, height) / 2 - 26);
  const at = (place) => [cx + radius * Math.sin(place * TURN), cy - radius * Math.cos(place * TURN)];
  const between = (a, b) => [cx + ((a[0] + b[0]) / 2 - cx) * 0.4, cy + ((a[1] + b[1]) / 2 - cy) * 0.4];
  const ground = (context, colours) => {
    context.beginPath();
    context.arc(cx, cy, radius, 0, TURN);
    context.strokeStyle = colours["line-strong"];
    context.lineWidth = 1.5;
    context.stroke();
  };
  return { at, between, ground };
}

/** Levels of a tree that are drawn. */
const LEVELS = 7;

/** Where places are as leaves of a tree, and the way between two: below them, the deeper the farther. */
function tree(width, height) {
  const [left, top, foot] = [24, 18, height * 0.52];
  const span = width - 2 * left;
  const level = (n) => top + ((foot - top) * n) / LEVELS;
  const at = (place) => [left + span * place, foot];
  const between = (a, b) => [(a[0] + b[0]) / 2, foot + Math.min(height - foot - 14, 22 + Math.abs(a[0] - b[0]) * 0.55) * 1.7];
  const ground = (context, colours) => {
    context.strokeStyle = colours.line;
    context.lineWidth = 1;
    for (let n = 0; n < LEVELS; n += 1) {
      for (let k = 0; k < 2 ** n; k += 1) {
        const x = left + (span * (k + 0.5)) / 2 ** n;
        const half = span / 2 ** (n + 2);
        context.beginPath();
        context.moveTo(x - half, level(n + 1));
        context.lineTo(x, level(n));
        context.lineTo(x + half, level(n + 1));
        context.stroke();
      }
    }
  };
  return { at, between, ground };
}

/** Draws a moment as it is `seconds` after it began; without a time, all of it. */
function drawWalks(context, width, height, colours, seconds, { kind, places, hops }) {
  const { at, between, ground } = kind === "ring" ? ring(width, height) : tree(width, height);
  ground(context, colours);
  for (const place of places) circle(context, ...at(place), 2, colours.muted);
  for (const { walk, from, to, lost, at: begins } of timed(hops)) {
    const part = seconds === null ? 1 : Math.min(1, (seconds - begins) / HOP);
    if (part <= 0) continue;
    const [a, b] = [at(from), at(to)];
    const m = between(a, b);
    const point = (share) => [0, 1].map((k) => (1 - share) ** 2 * a[k] + 2 * share * (1 - share) * m[k] + share ** 2 * b[k]);
    const colour = lost ? colours.bad : colours[WALKS[walk % WALKS.length]];
    // What has arrived fades, so that it is seen where a lookup has been.
    const ends = lost ? part * 0.6 : part;
    context.beginPath();
    context.moveTo(...a);
    for (let k = 1; k <= 16; k += 1) context.lineTo(...point((ends * k) / 16));
    context.strokeStyle = colour;
    context.lineWidth = part < 1 ? 2 : 1.2;
    context.globalAlpha = part < 1 || seconds === null ? 0.75 : Math.max(0.22, 0.75 - (seconds - begins - HOP) * 0.45);
    context.stroke();
    context.globalAlpha = 1;
    circle(context, ...(part < 1 ? point(ends) : b), part < 1 ? 4.5 : 3, colour);
    if (begins === 0) circle(context, ...a, 5, colour);
  }
}

/** A swarm in the shape of the Networks view's; member 0 is who had all at the beginning. */
const asSwarm = ({ progress, flows }) => ({
  nodes: progress.map((share, n) => ({ id: String(n), label: n === 0 ? t.lab.watch.source : t.lab.watch.member(n), progress: share })),
  edges: flows.map(({ from, to, rate }) => ({ from: String(from), to: String(to), rate, bytes: rate })),
});

function inWords({ at, scene }) {
  const w = t.lab.watch;
  if (scene.kind === "swarm") {
    const sum = scene.flows.reduce((all, flow) => all + flow.rate, 0);
    const whole = scene.progress.filter((share) => share >= 1).length;
    return w.swarm(count(scene.nodes), count(whole), rate(sum), at);
  }
  const walks = new Set(scene.hops.map(({ walk }) => walk)).size;
  return w[scene.kind](count(scene.nodes), walks, count(scene.hops.length), count(scene.hops.filter(({ lost }) => lost).length), at);
}

/** What is seen of a run while it is under way; afterwards the moments that are left are played, and the last stays. */
export function Watch({ run }) {
  const [, again] = useReducer((n) => n + 1, 0);
  const queue = useRef([]);
  const shown = useRef({ frame: null, began: null });
  const paint = useMemo(swarmPainter, [run.id]);
  useEffect(() => {
    const stop = new AbortController();
    const heard = (name, frame) => {
      if (name !== "frame") return;
      queue.current = [...queue.current, frame].slice(-WAITING_MAX);
      if (!shown.current.frame || matchMedia("(prefers-reduced-motion: reduce)").matches) next();
    };
    // A run that was taken away has nothing more to show.
    api.read(`/lab/runs/${run.id}/watch`, heard, stop.signal).catch(() => {});
    return () => stop.abort();
  }, [run.id]);
  const next = () => {
    const frame = queue.current.shift();
    if (!frame) return;
    shown.current = { frame, began: null, rests: false };
    again();
  };
  const { frame } = shown.current;
  if (!frame) return null;
  const draw = (context, width, height, colours, seconds) => {
    const now = shown.current;
    if (seconds !== null) now.began ??= seconds;
    const since = seconds === null ? null : seconds - now.began;
    if (now.frame.scene.kind === "swarm") paint(context, width, height, colours, seconds, asSwarm(now.frame.scene));
    else drawWalks(context, width, height, colours, since, now.frame.scene);
    if (since === null || since <= lasts(now.frame.scene)) return;
    // Not while it is being drawn.
    if (queue.current.length > 0) queueMicrotask(next);
    else if (run.state !== "running" && !now.rests) {
      now.rests = true;
      queueMicrotask(again);
    }
  };
  const words = inWords(frame);
  return html`<figure class="stack"><${Picture} className="picture" label=${words} draw=${draw} moves=${!shown.current.rests} /><figcaption class="small muted">${words}</figcaption></figure>`;
}
