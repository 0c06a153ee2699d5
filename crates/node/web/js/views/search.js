// One search over everything that can be searched, and searches that keep watching.

import { html, useEffect, useMemo, useState } from "../../vendor/htm-preact.js";
import * as api from "../api.js";
import { count, size } from "../format.js";
import { cancel, forget, keyOf, save, savedAs, search, shown } from "../found.js";
import { useNarrow } from "../rows.js";
import { learn, notify, useStore } from "../store.js";
import { t } from "../strings.js";
import { Empty, Icon, attempt, useFetched } from "../ui.js";

const s = t.search;
/** Rows that are drawn; filters find the rest. */
const ROWS_MAX = 500;
const MIB = 1 << 20;
const kindOf = (type) => {
  const [kind, rest] = (type ?? "").split("/");
  if (["video", "audio", "image", "text"].includes(kind)) return kind;
  return /zip|tar|compressed|archive|rar/.test(rest ?? "") ? "archive" : "other";
};
const NOTHING = { text: "", kind: "", network: "", size: "", sources: "", seen: false, odd: false };

export function Search({ id }) {
  const { searches } = useStore();
  const { value } = useFetched(() => api.get("/networks"), 0, []);
  const [filters, narrow] = useState(NOTHING);
  useEffect(() => {
    if (id && id !== shown.words) search(id);
  }, [id]);
  const titles = new Map((value?.networks ?? []).map(({ name, title }) => [name, title]));
  const titleOf = (name) => s.network[name] ?? titles.get(name) ?? name;
  const fetches = new Set((value?.networks ?? []).filter(({ verbs }) => verbs.includes("fetch")).map(({ name }) => name));
  const submit = (event) => {
    event.preventDefault();
    const words = new FormData(event.target).get("q").trim();
    if (!words) return;
    if (words === id) search(words);
    else location.hash = `#/search/${encodeURIComponent(words)}`;
  };
  const results = shown.results.filter(Boolean);
  // One that is told anew, because it is suspicious now, takes its place: the number stays.
  const odd = results.filter(isOdd).length;
  const kept = useMemo(() => filtered(results, filters), [shown.results, results.length, odd, shown.running, filters]);
  const watched = savedAs(shown.words);
  const keep = () => attempt(async () => {
    await save(shown.words);
    notify("info", s.savedNow(shown.words), s.savedHint);
  });
  return html`<div class="view"><h1>${s.title}</h1><p class="muted">${s.lead}</p>
    <form class="row one" role="search" onSubmit=${submit}><label class="grow"><span class="hidden">${s.label}</span><input key=${id} name="q" type="search" required placeholder=${s.label} autofocus defaultValue=${id ?? shown.words} /></label>
      ${shown.running ? html`<button type="button" onClick=${cancel}>${s.stop}</button>` : html`<button class="primary" type="submit">${s.submit}</button>`}</form>
    ${searches.length > 0 && html`<section class="row" aria-label=${s.saved}><span class="small muted">${s.saved}</span><ul class="chips plain">${searches.map((one) => html`<li key=${one.name} class="joined"><a class="button" href=${`#/search/${encodeURIComponent(one.words)}`} onClick=${() => one.words === id && search(one.words)}>${one.words}${one.fresh > 0 && html`<span class="badge active">${s.fresh(one.fresh)}</span>`}</a><button type="button" aria-label=${s.forget(one.words)} onClick=${() => attempt(() => forget(one))}><${Icon} name="close" /></button></li>`)}</ul></section>`}
    ${shown.words && html`<div class="row"><p class="muted small grow" role="status">${shown.running ? s.running : ""} ${s.found(results.length)}${kept.length < results.length ? `, ${s.kept(kept.length)}` : ""}</p>
      ${!watched && html`<button type="button" onClick=${keep}>${s.save}</button>`}</div>`}
    ${shown.error && html`<p class="banner wrap" role="alert">${shown.error.message || t.errors.offline} ${shown.error.hint ?? ""}</p>`}
    ${shown.networks.filter(({ state }) => state !== "done").map(({ name, state, error }) => html`<p key=${name} class="small warn wrap">${titleOf(name)}: ${s.states[state] ?? state}${error ? `, ${error}` : ""}</p>`)}
    ${results.length > 0 && html`<${Filters} filters=${filters} narrow=${narrow} results=${results} titleOf=${titleOf} odd=${odd} />`}
    ${!shown.words && html`<${Empty} icon="search" title=${s.begin} hint=${s.beginHint} />`}
    ${shown.words && !shown.running && !shown.error && results.length === 0 && html`<${Empty} icon="search" title=${s.none} hint=${s.noneHint} />`}
    ${results.length > 0 && kept.length === 0 && html`<${Empty} icon="search" title=${s.noMatch} hint=${s.noMatchHint}><button type="button" onClick=${() => narrow(NOTHING)}>${t.transfers.clear}</button><//>`}
    ${kept.length > 0 && html`<${Results} results=${kept.slice(0, ROWS_MAX)} titleOf=${titleOf} fetches=${fetches} />
      ${kept.length > ROWS_MAX && html`<p class="small muted">${s.cut(ROWS_MAX)}</p>`}`}
  </div>`;
}

/** Whether the node finds it suspicious. */
const isOdd = ({ odd }) => odd.length > 0;

function filtered(results, { text, kind, network, size, sources, seen, odd: hide }) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const kept = results.filter((result) => {
    const name = result.name.toLowerCase();
    return words.every((word) => (word.startsWith("-") && word.length > 1 ? !name.includes(word.slice(1)) : name.includes(word)))
      && (!kind || kindOf(result.type) === kind)
      && (!network || result.found.some((each) => each.network === network))
      && (!size || result.length >= Number(size) * MIB)
      && (!sources || result.sources >= Number(sources))
      && !(seen && shown.seen.has(keyOf(result)))
      && !(hide && isOdd(result));
  });
  // What answers best comes first, what is suspicious last; otherwise what many have.
  return kept.sort((a, b) => isOdd(a) - isOdd(b) || (b.score ?? 0) - (a.score ?? 0) || b.sources - a.sources);
}

function Filters({ filters, narrow, results, titleOf, odd }) {
  const set = (name) => ({ target }) => narrow((before) => ({ ...before, [name]: target.type === "checkbox" ? target.checked : target.value }));
  const networks = [...new Set(results.flatMap(({ found }) => found.map(({ network }) => network)))];
  const choice = (name, label, options) => html`<label class="field"><span>${label}</span><select value=${filters[name]} onChange=${set(name)}>${options.map(([value, text]) => html`<option key=${value} value=${value} selected=${value === filters[name]}>${text}</option>`)}</select></label>`;
  const wide = !useNarrow();
  return html`<details class="card filter" open=${wide}><summary>${s.filters}</summary><div class="stack"><div class="params narrow">
      <label class="field wide"><span>${s.filter}</span><input type="search" value=${filters.text} placeholder=${s.filterHelp} onInput=${set("text")} /></label>
      ${choice("kind", s.kind, [["", s.any], ...Object.entries(s.kinds)])}
      ${choice("network", s.columns.network, [["", s.all], ...networks.map((name) => [name, titleOf(name)])])}
      ${choice("size", s.size, [["", s.any], ...[1, 10, 100, 1024].map((mib) => [String(mib), size(mib * MIB)])])}
      ${choice("sources", s.sources, [["", s.any], ...[2, 5, 10].map((n) => [String(n), String(n)])])}</div>
    <div class="row"><label class="check"><input type="checkbox" checked=${filters.seen} onChange=${set("seen")} />${s.hideSeen}</label>
      ${odd > 0 && html`<label class="check"><input type="checkbox" checked=${filters.odd} onChange=${set("odd")} />${s.hideOdd(odd)}</label>`}</div></div></details>`;
}

function Results({ results, titleOf, fetches }) {
  return html`<div class="card scroll" tabindex="0" role="region" aria-label=${s.title}><table class="cards-when-narrow"><thead><tr><th scope="col">${s.columns.name}</th><th scope="col" class="number">${s.columns.size}</th><th scope="col">${s.columns.network}</th><th scope="col" class="number">${s.columns.sources}</th><th><span class="hidden">${s.columns.act}</span></th></tr></thead>
    <tbody>${results.map((result) => html`<${Result} key=${keyOf(result)} result=${result} why=${result.odd} titleOf=${titleOf} fetches=${fetches} />`)}</tbody></table></div>`;
}

const HASHES = [["sha1", "SHA-1"], ["sha256", "SHA-256"], ["tth", "Tiger tree"], ["infohash_v1", "BitTorrent v1"], ["infohash_v2", "BitTorrent v2"]];

function Result({ result, why, titleOf, fetches }) {
  const { transfers } = useStore();
  const [open, toggle] = useState(false);
  const at = (network) => result.found.find((each) => each.network === network);
  const transfer = at("transfers")?.id ?? [result.infohash_v1, result.infohash_v2].find((id) => id && transfers.has(id));
  const file = at("library");
  const fetchable = result.infohash_v1 ?? result.infohash_v2 ?? result.found.some(({ network }) => fetches.has(network));
  const share = () => attempt(async () => {
    learn(await api.post(`/library/files/${file.id}/publish`));
    notify("info", t.library.shared(result.name), null, ["#/transfers", t.library.toTransfers]);
  });
  const fetchIt = () => attempt(async () => {
    learn(await api.post("/search/fetch", { result }));
    notify("info", t.add.added(result.name), null, ["#/transfers", t.library.toTransfers]);
  });
  const networks = [...new Set(result.found.map(({ network }) => network))];
  // What the library knows is what a torrent of its file would be.
  const torrent = !file && (result.infohash_v1 ?? result.infohash_v2);
  return html`<tr><td class="wrap"><button type="button" class="link" aria-expanded=${open} onClick=${() => toggle(!open)}>${result.name}</button>${why.map((reason) => html` <span key=${reason} class="badge bad" title=${s.odd[reason][1]}>${s.odd[reason][0]}</span>`)}
      ${open && html`<dl class="facts">${HASHES.filter(([key]) => result[key]).map(([key, name]) => html`<dt key=${key}>${name}</dt><dd class="mono">${result[key]}</dd>`)}
        ${why.length > 0 && html`<dt>${s.suspicious}</dt><dd>${why.map((reason) => s.odd[reason][1]).join(" ")}</dd>`}
        <dt>${s.columns.sources}</dt><dd>${result.found.map((each) => html`<div key=${each.network + each.id} class="wrap">${titleOf(each.network)}: ${s.sourcesOf(each.sources)} <span class="mono muted">${each.id}</span></div>`)}</dd></dl>`}</td>
    <td class="number" data-label=${s.columns.size}>${size(result.length)}</td><td data-label=${s.columns.network}><span class="badges">${networks.map((network) => html`<span key=${network} class="badge">${titleOf(network)}</span>`)}${torrent && html`<span class="badge">${s.torrent}</span>`}</span></td><td class="number" data-label=${s.columns.sources}>${count(result.sources)}</td>
    <td class="number">${transfer ? html`<a class="button" href=${`#/transfers/${encodeURIComponent(transfer)}`} aria-label=${s.openOf(result.name)}>${s.open}</a>`
      : file ? html`<button type="button" aria-label=${t.library.shareOf(result.name)} onClick=${share}>${t.library.share}</button>`
      : fetchable ? html`<button type="button" class="primary" aria-label=${s.fetchOf(result.name)} onClick=${fetchIt}>${s.fetch}</button>` : ""}</td></tr>`;
}
