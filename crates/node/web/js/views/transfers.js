// The list of transfers.

import { html, useMemo, useState } from "../../vendor/htm-preact.js";
import { count, rate, ratio, share, size, span } from "../format.js";
import { Rows, useNarrow } from "../rows.js";
import { useStore } from "../store.js";
import { t } from "../strings.js";
import { Bar, Empty, Icon } from "../ui.js";

/** Heights of rows in pixels, as app.css has them. */
const ROW = 56;
const ROW_NARROW = 84;
const names = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

const SHOWN = {
  all: () => true,
  downloading: ({ state }) => ["metadata", "checking", "downloading", "queued", "hashing", "moving"].includes(state),
  seeding: ({ state }) => state === "seeding" || state === "finished",
  paused: ({ state }) => state === "paused",
  failed: ({ state }) => state === "failed",
};

const progress = ({ state, bytes_checked, bytes_moved, bytes_total, bytes_have, bytes_wanted }) =>
  state === "checking" || state === "hashing" ? [bytes_checked, bytes_total] : state === "moving" ? [bytes_moved, bytes_total] : [bytes_have, bytes_wanted];

const BY = {
  name: (a, b) => names.compare(a.name ?? "", b.name ?? ""),
  progress: (a, b) => a.bytes_have / (a.bytes_wanted || 1) - b.bytes_have / (b.bytes_wanted || 1),
  size: (a, b) => (a.bytes_total ?? 0) - (b.bytes_total ?? 0),
  down: (a, b) => a.download_rate - b.download_rate,
  up: (a, b) => a.upload_rate - b.upload_rate,
  eta: (a, b) => (a.eta ?? Infinity) - (b.eta ?? Infinity) || 0,
  peers: (a, b) => a.peers_connected - b.peers_connected,
  ratio: (a, b) => (a.ratio ?? 0) - (b.ratio ?? 0),
  added: (a, b) => a.added - b.added,
};

function Row({ transfer, top, index }) {
  const { id, name, state, labels, download_rate, upload_rate, eta, peers_connected, bytes_total, error } = transfer;
  const [have, total] = progress(transfer);
  const shown = name ?? id;
  return html`<div class="cells transfer" role="row" aria-rowindex=${index + 2} style=${{ top: `${top}px` }}>
    <div class="name clip" role="cell"><a class="clip" href=${`#/transfers/${encodeURIComponent(id)}`} title=${shown}>${shown}</a>
      <span class=${`small ${state === "failed" ? "bad" : "muted"}`}>${t.transfers.state[state]}${error ? `: ${error}` : ""}${labels?.map((label) => html` <span key=${label} class="badge">${label}</span>`)}</span></div>
    <div role="cell"><${Bar} have=${have} total=${total} state=${state} label=${t.transfers.columns.progress} /><span class="small muted">${share(have, total)}</span></div>
    <div class="number hide" role="cell">${size(bytes_total || null)}</div>
    <div class="number" role="cell">${download_rate > 0 && html`<span class="hidden">${t.down} </span>↓ ${rate(download_rate)}`}</div>
    <div class="number" role="cell">${upload_rate > 0 && html`<span class="hidden">${t.up} </span>↑ ${rate(upload_rate)}`}</div>
    <div class="number hide" role="cell">${span(eta)}</div>
    <div class="number extra hide" role="cell">${count(peers_connected)}</div>
    <div class="number extra hide" role="cell">${ratio(transfer.ratio)}</div>
  </div>`;
}

export function Transfers({ add }) {
  const { transfers, loaded } = useStore();
  const [shown, show] = useState("all");
  const [text, filter] = useState("");
  const [order, sort] = useState(["added", -1]);
  const each = useNarrow() ? ROW_NARROW : ROW;

  const all = [...transfers.values()];
  const rows = useMemo(() => {
    const words = text.toLowerCase();
    const [by, way] = order;
    return all
      .filter((transfer) => SHOWN[shown](transfer) && (!words || [transfer.name ?? transfer.id, ...(transfer.labels ?? [])].some((text) => text.toLowerCase().includes(words))))
      .sort((a, b) => way * BY[by](a, b) || names.compare(a.id, b.id));
  }, [transfers, all, shown, text, order]);

  const heading = (column, kind = "number") => html`<div class=${kind} role="columnheader" aria-sort=${order[0] === column ? (order[1] > 0 ? "ascending" : "descending") : "none"}>
    <button type="button" title=${t.errors.sortBy(t.transfers.columns[column])} onClick=${() => sort(([by, way]) => [column, by === column ? -way : column === "name" ? 1 : -1])}>${t.transfers.columns[column]}${order[0] === column && html`<span aria-hidden="true">${order[1] > 0 ? "↑" : "↓"}</span>`}</button></div>`;

  const headings = html`<div class="cells headings" role="row" aria-rowindex="1">${heading("name", "")}${heading("progress", "")}${heading("size")}${heading("down")}${heading("up")}${heading("eta")}${heading("peers", "number extra")}${heading("ratio", "number extra")}</div>`;

  return html`<div class="view fill">
    <div class="head"><h1 class="grow">${t.transfers.title} <span class="small muted" aria-live="off">${rows.length > 0 && t.transfers.count(rows.length)}</span></h1>
      <button type="button" class="primary" onClick=${() => add({})}><${Icon} name="add" />${t.transfers.add}</button></div>
    ${all.length > 0 && html`<div class="row filters"><div class="chips grow" role="group" aria-label=${t.transfers.stateLabel}>${Object.keys(SHOWN).map(
      (state) => html`<button key=${state} type="button" aria-pressed=${shown === state} onClick=${() => show(state)}>${t.transfers.states[state]}<span class="muted">${count(all.filter(SHOWN[state]).length)}</span></button>`,
    )}</div><label><span class="hidden">${t.transfers.filter}</span><input type="search" placeholder=${t.transfers.filter} value=${text} onInput=${(event) => filter(event.target.value)} /></label></div>`}
    ${!loaded
      ? html`<p class="muted" role="status">${t.loading}</p>`
      : all.length === 0
        ? html`<${Empty} icon="transfers" title=${t.transfers.empty} hint=${t.transfers.emptyHint}><button type="button" class="primary" onClick=${() => add({})}>${t.transfers.add}</button><//>`
        : rows.length === 0
          ? html`<${Empty} icon="search" title=${t.transfers.noMatch} hint=${t.transfers.noMatchHint}><button type="button" onClick=${() => { show("all"); filter(""); }}>${t.transfers.clear}</button><//>`
          : html`<${Rows} count=${rows.length} each=${each} label=${t.transfers.title} headings=${headings}
              row=${(index, top) => html`<${Row} key=${rows[index].id} transfer=${rows[index]} top=${top} index=${index} />`} />`}
  </div>`;
}
