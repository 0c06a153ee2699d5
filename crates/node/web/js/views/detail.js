// One transfer: what it is, its files, peers and trackers, what can be done with it.

import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import * as api from "../api.js";
import { Picture } from "../draw/canvas.js";
import { bytesOf, drawPieces, heightOf } from "../draw/pieces.js";
import { Rates } from "../draw/plot.js";
import { count, date, part, rate, ratio, share, size, span } from "../format.js";
import { learn, notify, useStore } from "../store.js";
import { t } from "../strings.js";
import { Bar, Dialog, Empty, Icon, Tabs, attempt, useFetched } from "../ui.js";

const TABS = ["overview", "files", "peers", "trackers"];
const EVERY = 2000;
const KIB = 1024;

const path = (id, rest = "") => `/transfers/${encodeURIComponent(id)}${rest}`;
const playable = (type) => /^(video|audio)\//.test(type ?? "");

export function Detail({ id }) {
  const { transfers, loaded } = useStore();
  const [tab, choose] = useState("overview");
  const [removing, ask] = useState(false);
  const [playing, play] = useState(null);
  const transfer = transfers.get(id);
  const missing = loaded && !transfer;
  useEffect(() => {
    // What was being hashed when this address was given has another id now.
    if (missing) api.get(path(id)).then((real) => { if (real.id !== id) location.replace(`#${path(real.id)}`); }, () => {});
  }, [id, missing]);
  if (!loaded) return html`<p class="muted" role="status">${t.loading}</p>`;
  if (!transfer) {
    return html`<div class="view"><${Empty} icon="transfers" title=${t.detail.gone} hint=${t.detail.goneHint}><a class="button" href="#/transfers">${t.detail.back}</a><//></div>`;
  }
  const act = (verb) => attempt(async () => learn(await api.post(path(id, `/${verb}`))));
  // Neither what is being hashed nor what another network brings.
  const torrent = Boolean(transfer.magnet);
  const paused = transfer.state === "paused" || transfer.state === "failed";
  const View = { overview: Overview, files: Files, peers: Peers, trackers: Trackers }[tab];
  return html`<div class="view">
    <a class="row small" href="#/transfers"><${Icon} name="back" />${t.detail.back}</a>
    <div class="head"><h1 class="grow wrap">${transfer.name ?? transfer.id}</h1>
      <div class="row">
        ${transfer.state !== "hashing" && (torrent || transfer.state !== "finished") && html`<button type="button" class="primary" onClick=${() => act(paused ? "resume" : "pause")}>${paused ? t.transfers.resume : t.transfers.pause}</button>`}
        ${torrent && html`<button type="button" onClick=${() => act("reannounce")}>${t.transfers.reannounce}</button>
        <button type="button" onClick=${() => act("verify")}>${t.transfers.verify}</button>`}
        <button type="button" class="danger" disabled=${transfer.state === "hashing"} onClick=${() => ask(true)}>${t.transfers.remove}</button>
      </div></div>
    ${transfer.error && html`<p class="banner wrap" role="alert">${transfer.error}</p>`}
    ${playing && html`<figure class="card stack"><figcaption class="row"><span class="grow wrap">${playing.path}</span><button type="button" class="quiet" aria-label=${t.close} onClick=${() => play(null)}><${Icon} name="close" /></button></figcaption>
      ${playing.type.startsWith("video/") ? html`<video controls autoplay src=${playing.stream} aria-label=${playing.path}></video>` : html`<audio controls autoplay src=${playing.stream} aria-label=${playing.path}></audio>`}</figure>`}
    <${Tabs} tabs=${torrent ? TABS : TABS.slice(0, 1)} names=${t.detail.tabs} chosen=${tab} choose=${choose} label=${transfer.name ?? transfer.id} />
    <section id="panel" role="tabpanel" aria-labelledby=${`tab-${tab}`} class="stack"><${View} transfer=${transfer} play=${play} /></section>
    ${removing && html`<${Remove} transfer=${transfer} close=${() => ask(false)} />`}
  </div>`;
}

function Remove({ transfer, close }) {
  const [problem, blame] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    const data = new FormData(event.target).has("data");
    if (await attempt(() => api.remove(path(transfer.id, `?data=${data}`)), blame)) {
      close();
      location.hash = "#/transfers";
    }
  };
  return html`<${Dialog} title=${t.detail.remove.title} close=${close}><form class="stack flush" onSubmit=${submit}>
    <p class="wrap"><strong>${transfer.name ?? transfer.id}</strong></p><p class="muted">${t.detail.remove.keep}</p>
    <label class="check"><input type="checkbox" name="data" aria-describedby="data-help" />${t.detail.remove.data}</label>
    <p id="data-help" class="small muted">${t.detail.remove.warn}</p>
    ${problem && html`<p class="bad" role="alert">${problem}</p>`}
    <div class="end"><button type="button" onClick=${close}>${t.cancel}</button><button type="submit" class="danger">${t.detail.remove.submit}</button></div>
  </form><//>`;
}

function Overview({ transfer }) {
  const { rates } = useStore();
  const box = useRef(null);
  const f = t.detail.facts;
  const pieces = useFetched(() => (transfer.magnet ? api.get(path(transfer.id, "/pieces")) : Promise.resolve(null)), transfer.state === "downloading" ? EVERY : 0, [transfer.id, transfer.state]).value;
  const copy = async () => {
    await attempt(() => navigator.clipboard.writeText(transfer.magnet));
    notify("info", t.detail.copied);
  };
  const width = Math.max(240, box.current?.clientWidth ?? 640);
  const facts = [
    [f.state, t.transfers.state[transfer.state]],
    [f.got, `${size(transfer.bytes_have)} (${share(transfer.bytes_have, transfer.bytes_wanted)})`],
    [f.size, size(transfer.bytes_total || null)],
    [f.rate, `↓ ${rate(transfer.download_rate)}   ↑ ${rate(transfer.upload_rate)}`],
    [f.eta, span(transfer.eta)],
    [f.received, size(transfer.downloaded)],
    [f.sent, `${size(transfer.uploaded)} (${f.ratio} ${ratio(transfer.ratio)})`],
    [f.wasted, size(transfer.wasted)],
    [f.peers, t.detail.connected(transfer.peers_connected, transfer.peers_known)],
    ...(transfer.seeds === null || transfer.seeds === undefined ? [] : [[f.swarm, t.detail.swarm(transfer.seeds, transfer.leechers)]]),
    ...(transfer.network ? [[f.network, transfer.network]] : []),
    [f.dir, transfer.dir],
    [f.added, date(transfer.added)],
    [f.completed, date(transfer.completed)],
  ];
  const total = pieces?.pieces_total ?? 0;
  return html`<div class="cards">
      <div class="card stack"><${Bar} have=${transfer.bytes_have} total=${transfer.bytes_wanted} state=${transfer.state} label=${t.transfers.columns.progress} />
        <dl class="facts">${facts.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd class="wrap">${value}</dd>`)}</dl></div>
      <div class="card stack"><h2>${t.detail.rates}</h2><${Rates} rates=${rates.get(transfer.id) ?? []} names=${[t.down, t.up]} format=${rate} label=${t.detail.rates} /></div>
    </div>
    ${transfer.magnet && html`<div class="card stack" ref=${box}><h2>${f.pieces}</h2><p class="small muted">${t.detail.pieces(count(transfer.pieces_have), count(transfer.pieces_total))}</p>
      ${total > 0 && html`<${Picture} label=${`${t.detail.piecesMap}: ${t.detail.pieces(transfer.pieces_have, transfer.pieces_total)}`} height=${heightOf(total, width - 34)} draw=${(context, w, _, colours) => drawPieces(context, w, total, bytesOf(pieces.have), colours)} />`}</div>
    <div class="cards"><div class="card stack"><dl class="facts">
        ${transfer.infohash_v1 && html`<dt>${f.v1}</dt><dd class="mono">${transfer.infohash_v1}</dd>`}
        ${transfer.infohash_v2 && html`<dt>${f.v2}</dt><dd class="mono">${transfer.infohash_v2}</dd>`}</dl>
      <div class="row"><button type="button" onClick=${copy}>${t.detail.magnet}</button><a class="button" href=${`/api/v1${path(transfer.id, "/torrent")}`} download>${t.detail.torrent}</a></div></div>
      <${Limits} transfer=${transfer} /></div>`}`;
}

function Limits({ transfer }) {
  const l = t.detail.limits;
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const number = (name, times = 1) => (form.get(name) === "" ? null : Math.round(Number(form.get(name)) * times * 1000) / 1000);
    const changes = {
      seed_ratio: number("ratio"), download_limit: number("down", KIB), upload_limit: number("up", KIB), sequential: form.has("sequential"),
      labels: form.get("labels").split(",").map((label) => label.trim()).filter(Boolean),
    };
    if (await attempt(async () => learn(await api.patch(path(transfer.id), changes)))) notify("info", l.saved);
  };
  return html`<form class="card stack" onSubmit=${submit}><h2>${l.title}</h2><div class="params">
      <label class="field"><span>${l.ratio}</span><input name="ratio" type="number" min="0" step="0.1" placeholder=${l.none} defaultValue=${transfer.seed_ratio ?? ""} /></label>
      ${[["down", l.down, transfer.download_limit], ["up", l.up, transfer.upload_limit]].map(([name, label, limit]) => html`<label key=${name} class="field"><span>${label}</span><input name=${name} type="number" min="1" step="1" placeholder=${l.none} defaultValue=${limit ? limit / KIB : ""} /></label>`)}
      <label class="field"><span>${l.labels}</span><input name="labels" autocomplete="off" defaultValue=${(transfer.labels ?? []).join(", ")} /></label></div>
    <label class="check"><input type="checkbox" name="sequential" defaultChecked=${transfer.sequential} />${l.sequential}</label>
    <div class="end"><button type="submit">${l.save}</button></div></form>`;
}

function Files({ transfer, play }) {
  const [turn, again] = useState(0);
  const { value } = useFetched(() => api.get(path(transfer.id, "/files")), transfer.state === "downloading" ? EVERY : 0, [transfer.id, transfer.state, turn]);
  const change = (index, priority) => attempt(async () => {
    learn(await api.patch(path(transfer.id), { files: [{ index, priority }] }));
    again((n) => n + 1);
  });
  const f = t.detail.file;
  return html`<div class="card scroll" tabindex="0" role="region" aria-label=${t.detail.tabs.files}><table class="cards-when-narrow"><thead><tr><th scope="col">${f.path}</th><th scope="col" class="number">${f.size}</th><th scope="col" class="number">${f.done}</th><th scope="col">${t.detail.priority}</th><th><span class="hidden">${t.detail.play}</span></th></tr></thead>
    <tbody>${(value?.files ?? []).map((file) => html`<tr key=${file.index}><td class="wrap">${file.path}</td><td class="number" data-label=${f.size}>${size(file.length)}</td><td class="number" data-label=${f.done}>${share(file.bytes_have, file.length || 1)}</td>
      <td data-label=${t.detail.priority}><select aria-label=${t.detail.priorityOf(file.path)} value=${file.priority} onChange=${(event) => change(file.index, event.target.value)}>${Object.entries(t.detail.priorities).map(([value, name]) => html`<option key=${value} value=${value} selected=${value === file.priority}>${name}</option>`)}</select></td>
      <td class="number">${file.stream && playable(file.type) && html`<button type="button" onClick=${() => play(file)}>${t.detail.play}</button>`}</td></tr>`)}</tbody></table></div>`;
}

function Peers({ transfer }) {
  const { value } = useFetched(() => api.get(path(transfer.id, "/peers")), EVERY, [transfer.id]);
  const p = t.detail.peer;
  if (value && value.peers.length === 0) return html`<${Empty} icon="networks" title=${t.detail.noPeers} hint=${t.detail.noPeersHint} />`;
  return html`<div class="card scroll" tabindex="0" role="region" aria-label=${t.detail.tabs.peers}><table class="cards-when-narrow two"><thead><tr><th scope="col">${p.address}</th><th scope="col">${p.client}</th><th scope="col">${p.flags}</th><th scope="col" class="number">${p.has}</th><th scope="col" class="number">${p.down}</th><th scope="col" class="number">${p.up}</th><th scope="col" class="number">${p.got}</th><th scope="col" class="number">${p.sent}</th></tr></thead>
    <tbody>${(value?.peers ?? []).map((peer) => html`<tr key=${peer.address}><td class="mono">${peer.address}</td><td class="wrap" data-label=${p.client}>${peer.client ?? "–"}</td><td class="mono" data-label=${p.flags}>${peer.flags}</td><td class="number" data-label=${p.has}>${part(peer.progress)}</td><td class="number" data-label=${p.down}>${rate(peer.download_rate)}</td><td class="number" data-label=${p.up}>${rate(peer.upload_rate)}</td><td class="number" data-label=${p.got}>${size(peer.downloaded)}</td><td class="number" data-label=${p.sent}>${size(peer.uploaded)}</td></tr>`)}</tbody></table></div>
    <p class="small muted">${t.detail.flagsHelp}</p>`;
}

function Trackers({ transfer }) {
  const { value } = useFetched(() => api.get(path(transfer.id, "/trackers")), 5000, [transfer.id]);
  const r = t.detail.tracker;
  if (value && value.trackers.length === 0) return html`<${Empty} icon="networks" title=${t.detail.noTrackers} hint=${t.detail.noTrackersHint} />`;
  return html`<div class="card scroll" tabindex="0" role="region" aria-label=${t.detail.tabs.trackers}><table class="cards-when-narrow two"><thead><tr><th scope="col">${r.url}</th><th scope="col" class="number">${r.seeds}</th><th scope="col" class="number">${r.leechers}</th><th scope="col">${r.said}</th></tr></thead>
    <tbody>${(value?.trackers ?? []).map((tracker) => html`<tr key=${tracker.url}><td class="mono">${tracker.url}</td><td class="number" data-label=${r.seeds}>${count(tracker.seeds)}</td><td class="number" data-label=${r.leechers}>${count(tracker.leechers)}</td><td class=${`wrap ${tracker.error ? "bad" : ""}`} data-label=${r.said}>${tracker.error ?? t.detail.ok}</td></tr>`)}</tbody></table></div>`;
}
