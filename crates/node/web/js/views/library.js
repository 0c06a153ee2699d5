// Folders of mine, hashed once, and their files.

import { html, useState } from "../../vendor/htm-preact.js";
import * as api from "../api.js";
import { date, share, size, count } from "../format.js";
import { Rows, useNarrow, usePages } from "../rows.js";
import { learn, notify } from "../store.js";
import { t } from "../strings.js";
import { Bar, Dialog, Empty, attempt, useDelayed, useFetched } from "../ui.js";

const PAGE = 200;
/** Heights of rows in pixels, as app.css has them. */
const ROW = 48;
const ROW_NARROW = 76;
const BADGES = { failed: "bad", missing: "bad", hashing: "active" };
const l = t.library;

export function Library() {
  const [turn, again] = useState(0);
  const [asking, ask] = useState(null);
  const { value: library, error } = useFetched(() => api.get("/library"), 2000, [turn]);
  const refresh = () => again((n) => n + 1);
  if (error?.status === 404) return html`<div class="view"><h1>${l.title}</h1><${Empty} icon="library" title=${l.off} hint=${l.offHint} /></div>`;
  const add = async (event) => {
    event.preventDefault();
    const form = event.target;
    if (await attempt(() => api.post("/library/folders", { path: new FormData(form).get("path").trim() }))) form.reset();
    refresh();
  };
  const folders = library?.folders ?? [];
  return html`<div class="view fill"><div class="head"><h1 class="grow">${l.title}</h1>${library && folders.length > 0 && html`<span class="muted small">${l.files(library.files, count(library.files), size(library.bytes))}</span>`}</div>
    <p class="muted">${l.lead}</p>
    <form class="row one" onSubmit=${add}><label class="grow"><span class="hidden">${l.path}</span><input name="path" required placeholder=${l.path} autocomplete="off" spellcheck="false" /></label><button class="primary" type="submit">${l.add}</button></form>
    ${library && folders.length === 0 && html`<${Empty} icon="library" title=${l.empty} hint=${l.emptyHint} />`}
    ${folders.length > 0 && html`<ul class="card folders" aria-label=${l.folders}>${folders.map((folder) => html`<${Folder} key=${folder.id} folder=${folder} refresh=${refresh} remove=${() => ask(folder)} />`)}</ul>
      <${Files} folders=${folders} state=${`${library.files} ${library.files_hashed}`} />`}
    ${asking && html`<${Dialog} title=${l.removing} close=${() => ask(null)}><p class="mono wrap">${asking.path}</p><p class="muted">${l.removingHelp}</p>
      <div class="end"><button type="button" onClick=${() => ask(null)}>${t.cancel}</button><button type="button" class="danger" onClick=${() => attempt(() => api.remove(`/library/folders/${asking.id}`)).then(() => { ask(null); refresh(); })}>${l.remove}</button></div><//>`}
  </div>`;
}

function Folder({ folder, refresh, remove }) {
  const hashing = folder.state === "hashing";
  return html`<li><div class="row"><strong class="grow wrap mono">${folder.path}</strong><span class=${`badge ${BADGES[folder.state] ?? "good"}`}>${l.state[folder.state]}</span>
      <span class="muted small number">${l.files(folder.files, count(folder.files), size(folder.bytes))}${hashing ? `, ${share(folder.bytes_hashed, folder.bytes)}` : ""}</span>
      <button type="button" aria-label=${l.rescanOf(folder.path)} onClick=${() => attempt(() => api.post(`/library/folders/${folder.id}/rescan`)).then(refresh)}>${l.rescan}</button>
      <button type="button" class="danger" aria-label=${l.removeOf(folder.path)} onClick=${remove}>${l.remove}</button></div>
    ${hashing && html`<${Bar} have=${folder.bytes_hashed} total=${folder.bytes} label=${l.state.hashing} />`}
    ${folder.error && html`<p class="bad small wrap">${folder.error}</p>`}</li>`;
}

/** The files of all folders or of one, by words; `state` changes when they may have. */
function Files({ folders, state }) {
  const [text, filter] = useState("");
  const [chosen, choose] = useState("");
  const words = useDelayed(text, 150);
  const narrow = useNarrow();
  const folder = folders.some(({ id }) => String(id) === chosen) ? chosen : "";
  const ask = async (offset) => {
    const { files, total } = await api.get("/library/files" + api.query({ q: words.trim(), folder, offset: offset || null, limit: PAGE }));
    return [files, total];
  };
  const { total, at, sight, error } = usePages(ask, PAGE, [words, folder], state);
  const headings = html`<div class="cells file headings" role="row" aria-rowindex="1">${["name", "size", "modified", "digests"].map((name) => html`<div key=${name} role="columnheader" class=${name === "size" ? "number" : ""}>${l.columns[name]}</div>`)}<div role="columnheader"><span class="hidden">${l.share}</span></div></div>`;
  return html`<div class="row filters"><label class="grow"><span class="hidden">${l.filter}</span><input type="search" placeholder=${l.filter} value=${text} onInput=${(event) => filter(event.target.value)} /></label>
      ${folders.length > 1 && html`<label><span class="hidden">${l.inFolder}</span><select value=${folder} onChange=${(event) => choose(event.target.value)}><option value="">${l.allFolders}</option>${folders.map(({ id, path }) => html`<option key=${id} value=${id}>${path}</option>`)}</select></label>`}
      <span class="muted small number" role="status">${total === null ? "" : l.found(total, count(total))}</span></div>
    ${error ? html`<p class="bad" role="alert">${error.message} ${error.hint ?? ""}</p>`
      : total === 0 ? (words.trim() || folder ? html`<${Empty} icon="search" title=${l.noMatch} hint=${l.noMatchHint} />` : html`<p class="muted">${l.none}</p>`)
      : total !== null && html`<${Rows} key=${`${words} ${folder}`} count=${total} each=${narrow ? ROW_NARROW : ROW} label=${l.filesOf} headings=${headings} sight=${sight}
          row=${(index, top) => html`<${File} key=${index} index=${index} top=${top} file=${at(index)} />`} />`}`;
}

function File({ index, top, file }) {
  const publish = () => attempt(async () => {
    learn(await api.post(`/library/files/${file.id}/publish`));
    notify("info", l.shared(file.name), null, ["#/transfers", l.toTransfers]);
  });
  const folder = file?.path.slice(0, -file.name.length);
  return html`<div class="cells file item" role="row" aria-rowindex=${index + 2} style=${{ top: `${top}px` }}>${file && html`
    <div class="name clip" role="cell" title=${file.path}>${folder && html`<span class="muted">${folder}</span>`}${file.name}</div>
    <div class="number" role="cell">${size(file.length)}</div>
    <div class="hide" role="cell">${date(file.modified)}</div>
    <div role="cell">${file.sha256 ? html`<span class="small muted" title=${`SHA-256 ${file.sha256}`}>${l.hashed}</span>` : html`<span class="badge active">${l.waiting}</span>`}</div>
    <div class="number" role="cell"><button type="button" aria-label=${l.shareOf(file.name)} disabled=${!file.sha256} onClick=${publish}>${l.share}</button></div>`}</div>`;
}
