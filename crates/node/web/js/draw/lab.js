// Moments of a run of the lab, played one after the other: lookups that jump around a ring, between the leaves of a tree,
// zones, groups and levels, floods, and swarms. What a moment is, the node says; here it is only drawn.

import { html, useEffect, useMemo, useReducer, useRef } from "../../vendor/htm-preact.js";
import * as api from "../api.js";
import { count, rate } from "../format.js";
import { t } from "../strings.js";
import { Picture } from "./canvas.js";
import { swarmPainter } from "./networks.js";

const TURN = 2 * Math.PI;
const WALKS = ["accent", "warn", "good-fill", "bad", "violet", "teal"];
/** Seconds that a message is on its way; that all of a moment are at most; and that a finished moment stays. */
const HOP = 0.22;
const WAY_MAX = 4;
const REST = 0.9;
/** Seconds that a moment of a swarm stays. */
const LOOK = 1;
/** Moments that wait; with more, older ones are left out. */
const WAITING_MAX = 24;

/** How long a message of a moment is on its way. */
const hopTime = (hops) => Math.min(HOP, WAY_MAX / (1 + hops.reduce((most, { step }) => Math.max(most, step), 0)));

const lasts = ({ kind, hops }) => (kind === "swarm" ? LOOK : hopTime(hops) * (1 + hops.reduce((most, { step }) => Math.max(most, step), 0)) + REST);

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

/** A square of places, over all that there is; with `bands`, lines between them, across or down. */
function field(width, height, { bands = 0, down = false, wraps = false, frame = true }) {
  const margin = 20;
  const [w, h] = [width - 2 * margin, height - 2 * margin];
  const at = ([x, y]) => [margin + w * x, margin + h * y];
  const between = (a, b) => [(a[0] + b[0]) / 2 + (b[1] - a[1]) * 0.08, (a[1] + b[1]) / 2 - (b[0] - a[0]) * 0.08];
  const ground = (context, colours) => {
    context.strokeStyle = colours.line;
    context.lineWidth = 1;
    for (let n = 1; n < bands; n += 1) {
      const [x, y] = down ? at([0, n / bands]) : at([n / bands, 0]);
      context.beginPath();
      context.moveTo(x, y);
      if (down) context.lineTo(x + w, y);
      else context.lineTo(x, y + h);
      context.stroke();
    }
    context.strokeStyle = colours["line-strong"];
    if (frame) context.strokeRect(margin, margin, w, h);
  };
  // The short way leads over an edge where the ends are joined: out at one side, in at the other.
  const legs = (from, to) => {
    const shift = [0, 1].map((k) => (wraps && Math.abs(to[k] - from[k]) > 0.5 ? Math.sign(from[k] - to[k]) : 0));
    if (shift[0] === 0 && shift[1] === 0) return [[from, to]];
    return [[from, to.map((v, k) => v + shift[k])], [from.map((v, k) => v - shift[k]), to]];
  };
  const clip = (context) => { context.beginPath(); context.rect(margin - 6, margin - 6, w + 12, h + 12); context.clip(); };
  return { at, between, ground, legs, clip };
}

/** Circles around whoever began, as round as there is room. */
function circles(width, height) {
  const side = Math.max(80, Math.min(width, height) - 28);
  const at = ([x, y]) => [width / 2 + side * (x - 0.5), height / 2 + side * (y - 0.5)];
  const between = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  return { at, between, ground: () => {} };
}

const LAYOUTS = {
  ring, tree, mesh: circles,
  torus: (width, height) => field(width, height, { wraps: true }),
  groups: (width, height, { bands }) => field(width, height, { bands }),
  butterfly: (width, height, { bands }) => field(width, height, { bands, down: true }),
};

/** Draws a moment as it is `seconds` after it began; without a time, all of it. */
function drawWalks(context, width, height, colours, seconds, scene) {
  const { kind, places, hops } = scene;
  const { at, between, ground, legs = (from, to) => [[from, to]], clip } = LAYOUTS[kind](width, height, scene);
  const hop = hopTime(hops);
  // Of many, each is fainter.
  const many = hops.length > 200;
  ground(context, colours);
  for (const place of places) circle(context, ...at(place), many ? 1.6 : 2, colours.muted);
  context.save();
  clip?.(context);
  for (const { walk, step, from, to, lost } of hops) {
    const begins = step * hop;
    const part = seconds === null ? 1 : Math.min(1, (seconds - begins) / hop);
    if (part <= 0) continue;
    const colour = lost ? colours.bad : colours[WALKS[walk % WALKS.length]];
    const ends = lost ? part * 0.6 : part;
    const moving = part < 1;
    for (const leg of legs(from, to)) {
      const [a, b] = leg.map(at);
      const m = between(a, b);
      const point = (share) => [0, 1].map((k) => (1 - share) ** 2 * a[k] + 2 * share * (1 - share) * m[k] + share ** 2 * b[k]);
      context.beginPath();
      context.moveTo(...a);
      for (let k = 1; k <= 16; k += 1) context.lineTo(...point((ends * k) / 16));
      context.strokeStyle = colour;
      context.lineWidth = moving ? 2 : many ? 0.8 : 1.2;
      // What has arrived fades, so that it is seen where a lookup has been.
      context.globalAlpha = moving || seconds === null ? (many ? 0.5 : 0.75) : Math.max(0.22, 0.75 - (seconds - begins - hop) * 0.45);
      context.stroke();
      context.globalAlpha = 1;
      if (moving) circle(context, ...point(ends), many ? 2.5 : 4.5, colour);
    }
    if (!moving) circle(context, ...at(to), many ? 2 : 3, colour);
    if (step === 0) circle(context, ...at(from), 5, colour);
  }
  context.restore();
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
  const sent = (walk) => scene.hops.filter((hop) => hop.walk === walk).length;
  if (scene.kind === "mesh") return `${w.mesh(count(scene.nodes), count(sent(0)), count(scene.places.length - 1), count(sent(1)))} ${w.into(at)}`;
  const walks = new Set(scene.hops.map(({ walk }) => walk)).size;
  const lost = scene.hops.filter((hop) => hop.lost).length;
  return [w[scene.kind](walks, count(scene.nodes), count(scene.bands ?? 0)), w.messages(count(scene.hops.length), lost), at === null ? "" : w.into(at), w.colours].filter(Boolean).join(" ");
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
