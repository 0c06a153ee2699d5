// Claims of papers, run here, and the curves beside the published ones.

import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import * as api from "../api.js";
import { Watch } from "../draw/lab.js";
import { Curves } from "../draw/plot.js";
import { brief, number } from "../format.js";
import { changed, useStore } from "../store.js";
import { t } from "../strings.js";
import { Bar, Empty, attempt, useFetched } from "../ui.js";

const l = t.lab;
const VERDICTS = { reproduced: "good", departs: "bad" };

/** `{ relative: 0.1 }` in words. */
function tolerance(given) {
  const [kind, value] = Object.entries(given ?? {})[0] ?? [];
  return l.tolerances[kind]?.(value) ?? "–";
}

export function Lab() {
  const { runs } = useStore();
  const [words, filter] = useState("");
  const [id, choose] = useState(null);
  const { value } = useFetched(() => api.get("/lab/claims"), 0, []);
  const learn = (list) => {
    for (const run of list) runs.set(run.id, { ...runs.get(run.id), ...run });
    changed();
  };
  useEffect(() => { attempt(async () => learn((await api.get("/lab/runs")).runs)); }, []);
  const claims = (value?.claims ?? []).filter((claim) => `${claim.id} ${claim.title}`.toLowerCase().includes(words.toLowerCase()));
  const claim = value?.claims.find((each) => each.id === id);
  const list = [...runs.values()].filter((run) => !id || run.claim === id).sort((a, b) => b.id - a.id);
  return html`<div class="view"><h1>${l.title}</h1><p class="muted">${l.lead}</p>
    <div class="split"><div class="card stack"><label><span class="hidden">${l.filter}</span><input type="search" placeholder=${l.filter} value=${words} onInput=${(event) => filter(event.target.value)} /></label>
        <ul class="claims" aria-label=${l.claim}>${claims.map((each) => html`<li key=${each.id}><button type="button" aria-pressed=${each.id === id} onClick=${() => choose(each.id)}>${each.title}<span class="small muted mono">${each.id}</span></button></li>`)}</ul></div>
      <div class="stack">${claim ? html`<${Claim} key=${claim.id} claim=${claim} learn=${learn} />` : html`<${Empty} icon="lab" title=${l.choose} hint="" />`}
        ${list.map((run) => html`<${Run} key=${run.id} run=${run} learn=${learn} />`)}</div></div></div>`;
}

function Claim({ claim, learn }) {
  const [size, choose] = useState("small");
  const submit = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const params = {};
    for (const { name } of claim.params) if (form.get(`p.${name}`)) params[name] = form.get(`p.${name}`).trim();
    const seed = form.get("seed") === "" ? null : Number(form.get("seed"));
    attempt(async () => learn([await api.post("/lab/runs", { claim: claim.id, size, params, seed })]));
  };
  return html`<form class="card stack" onSubmit=${submit}><h2>${claim.title}</h2><p>${claim.says}</p><p class="small muted">${l.source}: ${claim.source}</p>
    <div class="params"><label class="field"><span>${l.size}</span><select value=${size} onChange=${(event) => choose(event.target.value)}><option value="small">${l.small}</option><option value="paper">${l.paper}</option></select></label>
      <label class="field"><span>${l.seed}</span><input name="seed" inputmode="numeric" pattern="[0-9]*" /></label></div>
    ${claim.params.length > 0 && html`<details><summary>${l.params}</summary><div class="params">${claim.params.map((param) => html`<label key=${param.name} class="field"><span>${param.name}</span><input name=${`p.${param.name}`} placeholder=${String(param[size] ?? "")} title=${param.what} /><span class="small muted">${param.what}</span></label>`)}</div></details>`}
    <div class="end"><button class="primary" type="submit">${l.run}</button></div></form>`;
}

function Run({ run, learn }) {
  const { record } = run;
  useEffect(() => {
    if (run.state === "done" && !record) attempt(async () => learn([await api.get(`/lab/runs/${run.id}`)]));
  }, [run.state, record]);
  return html`<article class="card stack"><div class="row"><h2 class="grow mono">${run.claim}</h2>
      ${run.state === "running" ? html`<span class="badge active">${l.running}</span><button type="button" onClick=${() => attempt(() => api.remove(`/lab/runs/${run.id}`))}>${l.cancel}</button>`
        : run.state === "failed" ? html`<span class="badge bad">${l.failed}</span>`
        : record && html`<span class=${`badge ${VERDICTS[record.verdict] ?? ""}`}>${l.verdicts[record.verdict] ?? record.verdict}</span>`}
      ${run.seconds !== null && run.seconds !== undefined && html`<span class="small muted">${l.took(brief(run.seconds))}</span>`}</div>
    ${run.state === "running" && html`<${Bar} have=${run.progress} total=${1} label=${l.running} />`}
    ${run.error && html`<p class="bad wrap" role="alert">${run.error}</p>`}
    <${Watch} run=${run} />
    ${record && html`${record.plots.map((plot) => html`<${Curves} key=${plot.title} title=${plot.title} x=${plot.x} y=${plot.y} series=${plot.series} />`)}
      <div class="scroll" tabindex="0" role="region" aria-label=${run.claim}><table><thead><tr><th scope="col">${l.checks.what}</th><th scope="col" class="number">${l.checks.measured}</th><th scope="col" class="number">${l.checks.expected}</th><th scope="col">${l.checks.tolerance}</th><th scope="col">${l.checks.verdict}</th></tr></thead>
        <tbody>${record.checks.map((check) => html`<tr key=${check.what}><td class="wrap">${check.what}</td><td class="number">${number(check.measured)}</td><td class="number">${number(check.expected)}</td><td>${tolerance(check.tolerance)}</td><td class=${VERDICTS[check.verdict] ?? "muted"}>${l.verdicts[check.verdict] ?? check.verdict}</td></tr>`)}</tbody></table></div>
      ${record.notes?.map((note) => html`<p key=${note} class="small muted">${note}</p>`)}
      <p class="small muted">${l.command}: <code>${record.command}</code></p>`}</article>`;
}
