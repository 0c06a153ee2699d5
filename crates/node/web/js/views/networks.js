// The networks this node is in, each with a live picture of what it looks like from here, and the way in and out.

import { html, useEffect, useMemo, useRef, useState } from "../../vendor/htm-preact.js";
import * as api from "../api.js";
import { Picture } from "../draw/canvas.js";
import { drawKademlia, drawRing, swarmPainter, treeHeight } from "../draw/networks.js";
import { brief, count, part, rate, size } from "../format.js";
import { notify, useStore } from "../store.js";
import { t } from "../strings.js";
import { Empty, attempt, useFetched } from "../ui.js";
import { Overlay } from "./overlays.js";

const n = t.networks;
const BADGES = { up: "good", starting: "active", failed: "bad" };
const EVERY = 1000;

/** How numbers of a network are shown, by their name. */
const SHOWN = {
  download_rate: rate, upload_rate: rate, moving: rate, seconds: brief, least_with_peers: brief, least_without_peers: brief,
  from_peers: part, whole: (yes) => (yes ? t.lab.yes : t.lab.no), verified: String,
};

/** `some_name` as words. */
const plainly = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

/** A number of a network as text; what a network says of itself may be text already. */
function shownAs(name, value) {
  if (SHOWN[name]) return SHOWN[name](value);
  if (typeof value === "number") return name.endsWith("_rate") ? rate(value) : count(value);
  if (typeof value === "boolean") return value ? t.lab.yes : t.lab.no;
  return Array.isArray(value) ? value.join(", ") : String(value ?? "–");
}

const ORDER = Object.keys(n.detail);
/** Numbers of a network in the order in which they are worth reading; those without a name here come last. */
const inOrder = (detail) => {
  const place = ([name]) => (ORDER.indexOf(name) + ORDER.length + 1) % (ORDER.length + 1);
  return Object.entries(detail).sort((a, b) => place(a) - place(b));
};

export function Networks({ id }) {
  const [turn, again] = useState(0);
  const { value } = useFetched(() => api.get("/networks"), 3000, [turn]);
  const networks = value?.networks ?? [];
  const chosen = networks.find((network) => network.name === id) ?? networks[0];
  const list = useRef(null);
  // On a phone they are one line, which scrolls.
  useEffect(() => list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" }), [chosen?.name]);
  return html`<div class="view"><h1>${n.title}</h1>
    ${value && networks.length === 0 && html`<${Empty} icon="networks" title=${n.none} hint=${n.noneHint} />`}
    <nav class="chips" ref=${list} aria-label=${n.title}>${networks.map((network) => html`<a key=${network.name} class="button" href=${`#/networks/${network.name}`} aria-current=${network === chosen ? "page" : null}>${network.title}<span class=${`badge ${BADGES[network.state] ?? ""}`}>${n.states[network.state] ?? network.state}</span></a>`)}</nav>
    ${chosen && html`<${Network} key=${chosen.name} name=${chosen.name} changed=${() => again((turn) => turn + 1)} />`}
    <${Ports} /></div>`;
}

/** What the router was asked to let through. */
function Ports() {
  const { status } = useStore();
  const ports = status?.port_mappings ?? [];
  return html`<section class="card stack" aria-labelledby="ports"><h2 id="ports">${n.ports}</h2>
    ${ports.length === 0 ? html`<p class="small muted">${n.portsNone}</p>` : html`<p class="small muted">${n.portsHelp}</p>
      <dl class="facts">${ports.map(({ protocol, port, state, external, method, error }) => html`<dt key=${protocol + port}>${n.port(protocol, port)}</dt>
        <dd class="wrap"><span class=${{ mapped: "good", failed: "warn" }[state] ?? ""}>${state === "mapped" ? n.portStates.mapped(external, method) : n.portStates[state] ?? state}</span>${error && html`<span class="muted">: ${error}</span>`}</dd>`)}</dl>`}</section>`;
}

/** Where each verb of a network leads on this page. */
const LEADS = { search: "#/search", publish: "#/library", fetch: "#/search" };

function Verbs({ verbs }) {
  const shown = verbs.filter((verb) => LEADS[verb]);
  return shown.length > 0 && html`<div class="row"><span class="small muted">${n.can}</span>${shown.map((verb) => html`<a key=${verb} class="button" href=${LEADS[verb]}>${n.verbs[verb]}</a>`)}</div>`;
}

function Network({ name, changed }) {
  const [turn, again] = useState(0);
  const { value } = useFetched(() => api.get(`/networks/${name}`), EVERY, [name, turn]);
  if (!value) return html`<p class="muted" role="status">${t.loading}</p>`;
  const { picture } = value;
  const View = { swarm: Swarm, kademlia: Buckets, chord: Ring, overlay: Overlay }[picture.kind];
  const refresh = () => {
    again((turn) => turn + 1);
    changed();
  };
  return html`${View ? html`<${View} picture=${picture} name=${name} state=${value.state} />` : value.state !== "off" && html`<p class="muted" role="status">${n.states[value.state]}</p>`}
    <div class="cards"><div class="card stack"><dl class="facts">
      ${value.addresses.length > 0 && html`<dt>${n.addresses}</dt><dd class="mono">${value.addresses.join(", ")}</dd>`}
      <dt>${name === "demo" ? n.members : n.known}</dt><dd>${count(value.peers)}</dd>
      ${inOrder(value.detail ?? {}).map(([name, value]) => html`<dt key=${name}>${n.detail[name] ?? plainly(name)}</dt><dd class="wrap">${shownAs(name, value)}</dd>`)}</dl>
      <${Verbs} verbs=${value.state === "up" ? value.verbs ?? [] : []} />
      ${value.error && html`<p class="bad wrap" role="alert">${value.error}</p>`}
      ${value.can_leave && html`<div class="end"><button type="button" class="danger" onClick=${() => attempt(async () => { await api.post(`/networks/${name}/leave`); notify("info", n.left(value.title)); refresh(); })}>${n.leave}</button></div>`}</div>
      ${value.can_join && html`<${Join} network=${value} done=${refresh} />`}</div>`;
}

/** Networks whose nodes have a socket of their own. */
const LISTENS = ["chord", "gnutella", "fasttrack", ...Object.keys(t.overlays.titles)];

/** The way into a network: nodes to begin with, and where a node with a socket of its own listens. */
function Join({ network, done }) {
  const [busy, work] = useState(false);
  const joined = network.state !== "off";
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    const fields = new FormData(form);
    const peers = fields.get("peers").split(/[\s,]+/).filter(Boolean);
    const listen = fields.get("listen")?.trim() || null;
    work(true);
    if (await attempt(() => api.post(`/networks/${network.name}/join`, { peers, ...(listen && { listen }) }))) {
      form.reset();
      notify("info", n.joining(network.title));
      done();
    }
    work(false);
  };
  return html`<form class="card stack" onSubmit=${submit}><h2>${joined ? n.more : n.joinTitle(network.title)}</h2><p class="small muted">${n.joinHelp[network.name] ?? (LISTENS.includes(network.name) ? n.joinHelp.alone : n.joinHelp.any)}</p>
    <label class="field"><span>${n.peers}</span><textarea name="peers" spellcheck="false" placeholder="192.0.2.1:6881" required=${joined}></textarea></label>
    ${LISTENS.includes(network.name) && html`<label class="field"><span>${n.listen}</span><input name="listen" autocomplete="off" spellcheck="false" placeholder="127.0.0.1:7000" /></label>`}
    <div class="end"><button type="submit" class="primary" disabled=${busy}>${joined ? n.ask : n.join}</button></div></form>`;
}

export function Shown({ title, label, draw, head, rows, legend, height = null, moves = false }) {
  return html`<div class="card stack"><h2>${title}</h2>${legend && html`<p class="legend">${legend.map(([colour, name]) => html`<span key=${name}><i style=${{ background: `var(--${colour})` }}></i>${name}</span>`)}</p>`}<${Picture} className="picture" label=${label} draw=${draw} height=${height} moves=${moves} />
    <details><summary>${n.table}</summary><div class="scroll" tabindex="0" role="region" aria-label=${title}><table><thead><tr>${head.map((name) => html`<th key=${name} scope="col">${name}</th>`)}</tr></thead><tbody>${rows.map((row, at) => html`<tr key=${at}>${row.map((cell, k) => html`<td key=${k} class="mono wrap">${cell}</td>`)}</tr>`)}</tbody></table></div></details></div>`;
}

/** Nodes with names that tell them apart: most programs call themselves the same. */
function named(nodes) {
  const times = new Map();
  for (const { label } of nodes) times.set(label, (times.get(label) ?? 0) + 1);
  return nodes.map((node) => ({ ...node, label: node.id === "me" ? n.us : times.get(node.label) > 1 || !node.label ? node.id : node.label }));
}

function Swarm({ picture, name, state }) {
  const { edges } = picture;
  const nodes = named(picture.nodes);
  const paint = useMemo(swarmPainter, [name]);
  const demo = name === "demo";
  if (nodes.length <= 1) return html`<${Empty} icon="networks" title=${n.swarmEmpty} hint=${demo ? n.demoEmptyHint : n.swarmEmptyHint} />`;
  const label = (id) => nodes.find((node) => node.id === id)?.label || id;
  const moving = edges.filter((edge) => edge.rate > 0);
  return html`<${Shown} title=${demo && state === "off" ? n.swarmOver : n.swarm} moves=${moving.length > 0} legend=${demo ? null : [["accent", n.toUs], ["warn", n.fromUs]]}
    label=${moving.length > 0 ? `${n.swarm}: ${moving.map((edge) => n.node(`${label(edge.from)} → ${label(edge.to)}`, rate(edge.rate))).join("; ")}` : n.swarmEmpty}
    draw=${(context, w, h, colours, seconds) => paint(context, w, h, colours, seconds, { nodes, edges })} head=${[n.from, n.to, n.rate, n.bytes]} rows=${edges.map((edge) => [label(edge.from), label(edge.to), rate(edge.rate), size(edge.bytes)])} />`;
}

function Buckets({ picture }) {
  const buckets = picture.buckets.filter((bucket) => bucket.nodes.length > 0);
  if (buckets.length === 0) return html`<${Empty} icon="networks" title=${n.kademliaEmpty} hint=${n.kademliaEmptyHint} />`;
  return html`<${Shown} title=${n.kademlia} label=${`${n.kademlia}: ${buckets.map((bucket) => n.bucket(bucket.bits, bucket.nodes.length)).join("; ")}`} legend=${[["good-fill", n.good], ["warn", n.questionable], ["bad", n.bad], ["line-strong", n.waiting]]}
    height=${treeHeight(picture.buckets)} draw=${(context, w, h, colours) => drawKademlia(context, w, h, colours, picture)} head=${n.columns} rows=${buckets.flatMap((bucket) => bucket.nodes.map((node) => [bucket.bits, node.id.slice(0, 12), node.address, n[node.state]]))} />`;
}

function Ring({ picture }) {
  if (picture.successors.length === 0) return html`<${Empty} icon="networks" title=${n.chordEmpty} hint=${n.chordEmptyHint} />`;
  const row = (name) => (node) => [name, node.id.slice(0, 12), node.address];
  return html`<${Shown} title=${n.chord} label=${n.ring(picture.successors.length, picture.fingers.length)} legend=${[["text", n.us], ["good-fill", n.successors], ["warn", n.predecessor], ["accent-fill", n.fingers]]} draw=${(context, w, h, colours) => drawRing(context, w, h, colours, picture)}
    head=${[n.link, ...n.columns.slice(1, 3)]} rows=${[...picture.successors.map(row(n.successor)), ...(picture.predecessor ? [picture.predecessor].map(row(n.predecessor)) : []), ...picture.fingers.map((finger) => row(n.finger(finger.index))(finger))]} />`;
}
