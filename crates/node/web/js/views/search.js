// One search over everything that can be searched.

import { html, useState } from "../../vendor/htm-preact.js";
import * as api from "../api.js";
import { count, size } from "../format.js";
import { t } from "../strings.js";
import { Empty, attempt } from "../ui.js";

export function Search() {
  const s = t.search;
  const [answer, set] = useState(null);
  const submit = (event) => {
    event.preventDefault();
    const q = new FormData(event.target).get("q").trim();
    if (q) attempt(async () => set(await api.get("/search" + api.query({ q, limit: 200 }))));
  };
  return html`<div class="view"><h1>${s.title}</h1><p class="muted">${s.lead}</p>
    <form class="row" role="search" onSubmit=${submit}><label class="grow"><span class="hidden">${s.label}</span><input name="q" type="search" required placeholder=${s.label} autofocus /></label><button class="primary" type="submit">${s.submit}</button></form>
    <p class="muted small" role="status">${answer ? s.found(answer.total) : ""}</p>
    ${answer && (answer.results.length === 0
      ? html`<${Empty} icon="search" title=${s.none} hint=${s.noneHint} />`
      : html`<div class="card scroll" tabindex="0" role="region" aria-label=${s.title}><table><thead><tr><th scope="col">${s.columns.name}</th><th scope="col" class="number">${s.columns.size}</th><th scope="col">${s.columns.network}</th><th scope="col" class="number">${s.columns.sources}</th></tr></thead>
        <tbody>${answer.results.map((result) => html`<tr key=${result.network + result.id}><td class="wrap">${result.network === "transfers" ? html`<a href=${`#/transfers/${encodeURIComponent(result.id)}`}>${result.name}</a>` : result.name}</td><td class="number">${size(result.length)}</td><td><span class="badge">${s.network[result.network] ?? result.network}</span></td><td class="number">${count(result.sources)}</td></tr>`)}</tbody></table></div>`)}
  </div>`;
}
