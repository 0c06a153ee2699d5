// The first start explains itself in three steps.

import { html } from "../../vendor/htm-preact.js";
import { t } from "../strings.js";
import { Dialog } from "../ui.js";

export function Welcome({ close, add }) {
  return html`<${Dialog} title=${t.welcome.title} close=${close}>
    <p class="muted">${t.welcome.lead}</p>
    <ol class="steps">${t.welcome.steps.map(([title, text]) => html`<li key=${title}><div><h3>${title}</h3><p class="muted">${text}</p></div></li>`)}</ol>
    <div class="end"><button type="button" onClick=${close}>${t.welcome.close}</button><button type="button" class="primary" onClick=${add}>${t.welcome.start}</button></div>
  <//>`;
}
