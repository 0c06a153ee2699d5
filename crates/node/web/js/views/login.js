// The door: a password if one is set, else the token that only this machine's user can read.

import { html, useState } from "../../vendor/htm-preact.js";
import * as api from "../api.js";
import { begin, useStore } from "../store.js";
import { t } from "../strings.js";

export function Login() {
  const { methods } = useStore();
  const [method, choose] = useState(methods.includes("password") ? "password" : "token");
  const [secret, set] = useState("");
  const [wrong, blame] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    try {
      await api.post("/login", { [method]: secret.trim() });
      await begin();
    } catch (error) {
      blame(error.status === 429 ? t.login.slow : error.status === 401 ? t.login.wrong : error.message || t.errors.offline);
    }
  };
  const other = method === "password" ? "token" : "password";
  return html`<main class="login"><form class="card stack" onSubmit=${submit}>
    <div class="brand"><img src="icon.svg" alt="" />${t.app}</div>
    <h1>${t.login.title}</h1>
    <label class="field"><span>${t.login[method]}</span>
      <input type="password" name=${method} autocomplete=${method === "password" ? "current-password" : "off"} required autofocus value=${secret} onInput=${(event) => set(event.target.value)} aria-describedby="login-help" /></label>
    ${method === "token" && html`<p id="login-help" class="small muted">${t.login.tokenHelp}</p>`}
    ${wrong && html`<p class="bad" role="alert">${wrong}</p>`}
    <div class="end">
      ${methods.includes(other) && html`<button type="button" class="quiet" onClick=${() => choose(other)}>${other === "token" ? t.login.useToken : t.login.usePassword}</button>`}
      <button class="primary" type="submit">${t.login.submit}</button>
    </div>
  </form></main>`;
}
