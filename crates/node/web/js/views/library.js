// Folders of mine, hashed once, and their files.

import { html, useState } from "../../vendor/htm-preact.js";
import * as api from "../api.js";
import { date, share, size, count } from "../format.js";
import { learn, notify } from "../store.js";
import { t } from "../strings.js";
import { Bar, Empty, attempt, useDelayed, useFetched } from "../ui.js";

const PAGE = 200;

export function Library() {
  const l = t.library;
  const [turn, again] = useState(0);
  const [text, filter] = useState("");
  const words = useDelayed(text, 200);
  const { value: library, error } = useFetched(() => api.get("/library"), 2000, [turn]);
  const { value: found } = useFetched(() => api.get("/library/files" + api.query({ q: words, limit: PAGE })), 5000, [words, turn]);
  const refresh = () => again((n) => n + 1);
  if (error?.status === 404) return html`<div class="view"><h1>${l.title}</h1><${Empty} icon="library" title=${l.off} hint=${l.offHint} /></div>`;
  const add = async (event) => {
    event.preventDefault();
    const form = event.target;
    if (await attempt(() => api.post("/library/folders", { path: new FormData(form).get("path").trim() }))) form.reset();
    refresh();
  };
  const publish = (file) => attempt(async () => {
    learn(await api.post(`/library/files/${file.id}/publish`));
    notify("info", l.shared(file.name));
  });
  const folders = library?.folders ?? [];
  return html`<div class="view"><div class="head"><h1 class="grow">${l.title}</h1>${library && html`<span class="muted small">${l.files(count(library.files), size(library.bytes))}</span>`}</div>
    <p class="muted">${l.lead}</p>
    <form class="row" onSubmit=${add}><label class="grow"><span class="hidden">${l.path}</span><input name="path" required placeholder=${l.path} autocomplete="off" spellcheck="false" /></label><button class="primary" type="submit">${l.add}</button></form>
    ${library && folders.length === 0 && html`<${Empty} icon="library" title=${l.empty} hint=${l.emptyHint} />`}
    <div class="cards">${folders.map((folder) => html`<div key=${folder.id} class="card stack"><div class="row"><strong class="grow wrap mono">${folder.path}</strong><span class=${`badge ${folder.state === "failed" || folder.state === "missing" ? "bad" : folder.state === "hashing" ? "active" : "good"}`}>${l.state[folder.state]}</span></div>
      ${folder.state === "hashing" && html`<${Bar} have=${folder.bytes_hashed} total=${folder.bytes} label=${l.state.hashing} />`}
      ${folder.error && html`<p class="bad small wrap">${folder.error}</p>`}
      <div class="row"><span class="muted small grow">${l.files(count(folder.files), size(folder.bytes))}${folder.state === "hashing" ? `, ${share(folder.bytes_hashed, folder.bytes)}` : ""}</span>
        <button type="button" onClick=${() => attempt(() => api.post(`/library/folders/${folder.id}/rescan`)).then(refresh)}>${l.rescan}</button>
        <button type="button" class="danger" onClick=${() => attempt(() => api.remove(`/library/folders/${folder.id}`)).then(refresh)}>${l.remove}</button></div></div>`)}</div>
    ${folders.length > 0 && html`<label><span class="hidden">${l.filter}</span><input type="search" placeholder=${l.filter} value=${text} onInput=${(event) => filter(event.target.value)} /></label>
      ${found?.files.length === 0
        ? html`<${Empty} icon="search" title=${l.noMatch} hint=${l.noMatchHint} />`
        : html`<div class="card scroll" tabindex="0" role="region" aria-label=${l.title}><table><thead><tr><th scope="col">${l.columns.name}</th><th scope="col" class="number">${l.columns.size}</th><th scope="col">${l.columns.modified}</th><th scope="col">${l.columns.digests}</th><th><span class="hidden">${l.share}</span></th></tr></thead>
          <tbody>${(found?.files ?? []).map((file) => html`<tr key=${file.id}><td class="wrap">${file.path}</td><td class="number">${size(file.length)}</td><td>${date(file.modified)}</td><td>${file.sha256 ? html`<span title=${file.sha256}>${l.hashed}</span>` : html`<span class="muted">${l.waiting}</span>`}</td><td class="number"><button type="button" onClick=${() => publish(file)}>${l.share}</button></td></tr>`)}</tbody></table></div>`}`}
  </div>`;
}
