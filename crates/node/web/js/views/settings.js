// The node's settings as its file knows them, the page's own looks, and the password.

import { html, useState } from "../../vendor/htm-preact.js";
import * as api from "../api.js";
import { leave, notify } from "../store.js";
import { t } from "../strings.js";
import { attempt, useFetched } from "../ui.js";

const s = t.settings;
const THEME = "shoal-theme";
const ORDER = ["transfers", "network", "library", "chord"];

/** Puts the chosen theme on the page; "auto" is the system's. */
export function applyTheme() {
  const theme = localStorage.getItem(THEME);
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

const textOf = (value) => (value === null || value === undefined ? "" : Array.isArray(value) ? value.join("\n") : String(value));

/** What a field's text means for a setting of its kind; empty is "none". */
function valueOf(setting, field) {
  if (setting.kind === "bool") return field.checked;
  const text = field.value.trim();
  if (setting.kind === "list") return text.split("\n").map((line) => line.trim()).filter(Boolean);
  if (text === "") return null;
  return (setting.kind === "number" || setting.kind === "rate") && !Number.isNaN(Number(text)) ? Number(text) : text;
}

export function Settings() {
  const [turn, again] = useState(0);
  const [theme, choose] = useState(localStorage.getItem(THEME) ?? "auto");
  const { value } = useFetched(() => api.get("/settings"), 0, [turn]);
  const submit = async (event) => {
    event.preventDefault();
    const changes = {};
    for (const setting of value.settings) {
      const field = event.target.elements[setting.name];
      const next = valueOf(setting, field);
      if (JSON.stringify(next) !== JSON.stringify(setting.value)) changes[setting.name] = next;
    }
    if (await attempt(() => api.patch("/settings", changes))) notify("info", s.saved);
    again((n) => n + 1);
  };
  const password = async (event) => {
    event.preventDefault();
    const form = event.target;
    const fields = new FormData(form);
    if (await attempt(() => api.post("/settings/password", { old: fields.get("old") || null, new: fields.get("new") }))) {
      form.reset();
      notify("info", s.changed);
    }
  };
  // What is changed most often comes first; groups without a name here come last.
  const groups = new Map(ORDER.map((group) => [group, []]));
  for (const setting of value?.settings ?? []) {
    const group = setting.name.split(".")[0];
    groups.set(group, [...(groups.get(group) ?? []), setting]);
  }
  return html`<div class="view"><div class="head"><h1 class="grow">${s.title}</h1><button type="button" onClick=${() => attempt(leave)}>${t.login.logout}</button></div>
    <fieldset class="card stack plain"><legend><h2>${s.appearance}</h2></legend><div class="row" role="radiogroup" aria-label=${t.theme.label}>${["auto", "light", "dark"].map((name) => html`<label key=${name} class="check"><input type="radio" name="theme" value=${name} checked=${theme === name} onChange=${() => { localStorage.setItem(THEME, name); choose(name); applyTheme(); }} />${t.theme[name]}</label>`)}</div></fieldset>
    ${value && html`<form class="stack" key=${turn} onSubmit=${submit}>${[...groups].filter(([, settings]) => settings.length > 0).map(([group, settings]) => html`<fieldset key=${group} class="card stack plain"><legend><h2>${s.groups[group] ?? group}</h2></legend><div class="cards">${settings.map((setting) => html`<${Field} key=${setting.name} setting=${setting} />`)}</div></fieldset>`)}
      <div class="row foot"><span class="small muted grow wrap">${s.file(value.file)}</span><button type="submit" class="primary">${s.save}</button></div></form>`}
    <form class="card stack" onSubmit=${password}><h2>${s.password}</h2><input class="hidden" tabindex="-1" aria-hidden="true" name="user" autocomplete="username" value="shoal" readonly />
      <div class="params"><label class="field"><span>${s.old}</span><input type="password" name="old" autocomplete="current-password" /></label><label class="field"><span>${s.fresh}</span><input type="password" name="new" required minlength="8" autocomplete="new-password" /></label></div>
      <div class="end"><button type="submit">${s.change}</button></div></form></div>`;
}

function Field({ setting }) {
  const { name, value, kind, what, source, live } = setting;
  const fixed = source === "environment";
  const help = html`<span class="small muted"><code>${name}</code> · ${s.from[source] ?? source}${live ? "" : ` · ${s.later}`}</span>`;
  if (kind === "bool") return html`<div class="field"><label class="check"><input type="checkbox" name=${name} defaultChecked=${value} disabled=${fixed} /><strong>${what}</strong></label>${help}</div>`;
  return html`<label class="field"><span>${what}</span>${kind === "list" ? html`<textarea name=${name} spellcheck="false" disabled=${fixed} defaultValue=${textOf(value)}></textarea>` : html`<input name=${name} autocomplete="off" spellcheck="false" disabled=${fixed} defaultValue=${textOf(value)} />`}${help}</label>`;
}
