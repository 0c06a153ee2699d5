// The networks this node is in, each with a live picture of what it looks like from here.

import { html } from "../../vendor/htm-preact.js";
import * as api from "../api.js";
import { Picture } from "../draw/canvas.js";
import { drawKademlia, drawRing, drawSwarm } from "../draw/networks.js";
import { count, number, rate } from "../format.js";
import { t } from "../strings.js";
import { Empty, useFetched } from "../ui.js";

const n = t.networks;
const BADGES = { up: "good", starting: "active", failed: "bad" };

export function Networks({ id }) {
  const { value } = useFetched(() => api.get("/networks"), 3000, []);
  const networks = value?.networks ?? [];
  const chosen = networks.find((network) => network.name === id) ?? networks[0];
  return html`<div class="view"><h1>${n.title}</h1>
    ${value && networks.length === 0 && html`<${Empty} icon="networks" title=${n.none} hint=${n.noneHint} />`}
    <nav class="chips" aria-label=${n.title}>${networks.map((network) => html`<a key=${network.name} class="button" href=${`#/networks/${network.name}`} aria-current=${network === chosen ? "page" : null}>${network.title}<span class=${`badge ${BADGES[network.state] ?? ""}`}>${n.states[network.state] ?? network.state}</span></a>`)}</nav>
    ${chosen && html`<${Network} key=${chosen.name} network=${chosen} />`}</div>`;
}

function Network({ network }) {
  const { value } = useFetched(() => api.get(`/networks/${network.name}`), 1500, [network.name]);
  const picture = value?.picture;
  return html`<div class="card stack"><dl class="facts"><dt>${n.addresses}</dt><dd class="mono">${network.addresses.join(", ") || "–"}</dd>
      <dt>${n.known}</dt><dd>${count(network.peers)}</dd>
      ${Object.entries(network.detail ?? {}).map(([name, value]) => html`<dt key=${name}>${name.replaceAll("_", " ")}</dt><dd class="wrap">${number(value)}</dd>`)}</dl>
      ${network.error && html`<p class="bad wrap" role="alert">${network.error}</p>`}</div>
    ${picture?.kind === "swarm" && html`<${Swarm} picture=${picture} />`}
    ${picture?.kind === "kademlia" && html`<${Buckets} picture=${picture} />`}
    ${picture?.kind === "chord" && html`<${Ring} picture=${picture} />`}`;
}

function Shown({ title, label, draw, head, rows, legend }) {
  return html`<div class="card stack"><h2>${title}</h2>${legend && html`<p class="legend">${legend.map(([colour, name]) => html`<span key=${name}><i style=${{ background: `var(--${colour})` }}></i>${name}</span>`)}</p>`}<${Picture} className="picture" label=${label} draw=${draw} />
    <details><summary>${n.table}</summary><div class="scroll" tabindex="0" role="region" aria-label=${title}><table><thead><tr>${head.map((name) => html`<th key=${name} scope="col">${name}</th>`)}</tr></thead><tbody>${rows.map((row, at) => html`<tr key=${at}>${row.map((cell, k) => html`<td key=${k} class="mono wrap">${cell}</td>`)}</tr>`)}</tbody></table></div></details></div>`;
}

function Swarm({ picture }) {
  const { nodes, edges } = picture;
  if (nodes.length <= 1) return html`<${Empty} icon="networks" title=${n.swarmEmpty} hint=${n.swarmEmptyHint} />`;
  return html`<${Shown} title=${n.swarm} label=${`${n.swarm}: ${edges.map((edge) => n.node(`${edge.from} → ${edge.to}`, rate(edge.rate))).join("; ")}`} legend=${[["accent", t.down], ["warn", t.up]]}
    draw=${(context, w, h, colours) => drawSwarm(context, w, h, colours, picture)} head=${[n.from, n.to, n.rate]} rows=${edges.map((edge) => [edge.from, edge.to, rate(edge.rate)])} />`;
}

function Buckets({ picture }) {
  const buckets = picture.buckets.filter((bucket) => bucket.nodes.length > 0);
  if (buckets.length === 0) return html`<${Empty} icon="networks" title=${n.kademliaEmpty} hint=${n.kademliaEmptyHint} />`;
  return html`<${Shown} title=${n.kademlia} label=${`${n.kademlia}: ${buckets.map((bucket) => n.bucket(bucket.bits, bucket.nodes.length)).join("; ")}`} legend=${[["good-fill", n.good], ["warn", n.questionable], ["bad", n.bad]]}
    draw=${(context, w, h, colours) => drawKademlia(context, w, h, colours, picture)} head=${["bits", "id", "address", "state"]} rows=${buckets.flatMap((bucket) => bucket.nodes.map((node) => [bucket.bits, node.id.slice(0, 12), node.address, node.state]))} />`;
}

function Ring({ picture }) {
  if (picture.successors.length === 0) return html`<${Empty} icon="networks" title=${n.chordEmpty} hint=${n.chordEmptyHint} />`;
  return html`<${Shown} title=${n.chord} label=${n.chord} legend=${[["text", n.us], ["good-fill", n.successors], ["warn", n.predecessor], ["accent-fill", n.fingers]]} draw=${(context, w, h, colours) => drawRing(context, w, h, colours, picture)}
    head=${["link", "id", "address"]} rows=${[...picture.successors.map((node) => ["successor", node.id, node.address]), ...(picture.predecessor ? [["predecessor", picture.predecessor.id, picture.predecessor.address]] : []), ...picture.fingers.map((node) => ["finger", node.id, node.address])]} />`;
}
