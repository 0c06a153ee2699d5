// What the node says of itself.

import { html, useMemo, useState } from "../../vendor/htm-preact.js";
import { time } from "../format.js";
import { useStore } from "../store.js";
import { t } from "../strings.js";
import { Empty } from "../ui.js";

const LEVELS = ["error", "warn", "info", "debug"];
const SHOWN_MAX = 500;
const BADGES = { error: "bad", warn: "active" };

export function Log() {
  const { log } = useStore();
  const [level, choose] = useState("info");
  const [words, filter] = useState("");
  const entries = useMemo(
    () => log.filter((entry) => LEVELS.indexOf(entry.level) <= LEVELS.indexOf(level) && `${entry.target} ${entry.message}`.toLowerCase().includes(words.toLowerCase())).slice(-SHOWN_MAX).reverse(),
    [log.length, log.at(-1)?.seq, level, words],
  );
  const l = t.log;
  return html`<div class="view"><h1>${l.title}</h1>
    <div class="row"><label class="row tight"><span class="small muted">${l.level}</span><select value=${level} onChange=${(event) => choose(event.target.value)}>${LEVELS.map((name) => html`<option key=${name} value=${name} selected=${name === level}>${l.levels[name]}</option>`)}</select></label>
      <label class="grow"><span class="hidden">${l.filter}</span><input type="search" placeholder=${l.filter} value=${words} onInput=${(event) => filter(event.target.value)} /></label></div>
    ${entries.length === 0 ? html`<${Empty} icon="log" title=${l.empty} hint=${l.emptyHint} />`
      : html`<div class="card scroll" tabindex="0" role="region" aria-label=${l.title}><table class="cards-when-narrow log"><thead><tr><th scope="col">${l.time}</th><th scope="col">${l.column}</th><th scope="col">${l.where}</th><th scope="col">${l.message}</th></tr></thead><tbody>${entries.map((entry) => html`<tr key=${entry.seq}><td class="mono">${time(entry.time)}</td><td><span class=${`badge ${BADGES[entry.level] ?? ""}`}>${entry.level}</span></td><td class="mono">${entry.target}</td><td class="wrap">${entry.message}</td></tr>`)}</tbody></table></div>`}</div>`;
}
