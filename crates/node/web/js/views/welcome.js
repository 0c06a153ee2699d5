// The first start explains itself in three steps.

import { html } from "../../vendor/htm-preact.js";
import { t } from "../strings.js";
import { Dialog } from "../ui.js";

export function Welcome({ close, add }) {
  const acts = [() => add({}), () => add({ tab: "share" }), () => { close(); location.hash = "#/networks"; }];
  return html`<${Dialog} title=${t.welcome.title} close=${close}>
    <p class="muted">${t.welcome.lead}</p>
    <ol class="steps">${t.welcome.steps.map(([title, text, act], step) => html`<li key=${title}><div><h3>${title}</h3><p class="muted">${text}</p></div><button type="button" class=${step === 0 ? "primary" : ""} autofocus=${step === 0} onClick=${acts[step]}>${act}</button></li>`)}</ol>
    <div class="end"><button type="button" class="quiet" onClick=${close}>${t.welcome.close}</button></div>
  <//>`;
}
