// Where the page begins: the frame with its navigation, the choice of view by the address, the login.

import { html, render, useEffect, useState } from "../vendor/htm-preact.js";
import * as api from "./api.js";
import { rate } from "./format.js";
import { fresh } from "./found.js";
import { begin, changed, state, useStore } from "./store.js";
import { t } from "./strings.js";
import { Icon, Notices, tell } from "./ui.js";
import { Add, DropZone } from "./views/add.js";
import { Detail } from "./views/detail.js";
import { Lab } from "./views/lab.js";
import { Library } from "./views/library.js";
import { Log } from "./views/log.js";
import { Login } from "./views/login.js";
import { Networks } from "./views/networks.js";
import { Search } from "./views/search.js";
import { Settings, applyTheme } from "./views/settings.js";
import { Transfers } from "./views/transfers.js";
import { Welcome } from "./views/welcome.js";

const VIEWS = { transfers: Transfers, library: Library, search: Search, networks: Networks, lab: Lab, settings: Settings, log: Log };

/** The address's parts behind `#/`. */
function useRoute() {
  const read = () => location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const [route, set] = useState(read);
  useEffect(() => {
    const listen = () => set(read());
    addEventListener("hashchange", listen);
    return () => removeEventListener("hashchange", listen);
  }, []);
  return route;
}

function Side({ view }) {
  const { status } = useStore();
  return html`<header class="side">
    <div class="brand"><img src="icon.svg" alt="" />${t.app}</div>
    <nav aria-label=${t.nav.label}><ul class="nav">${Object.keys(VIEWS).map(
      (name) => html`<li key=${name}><a href=${`#/${name}`} aria-current=${name === view ? "page" : null}><${Icon} name=${name} /><span>${t.nav[name]}</span>${name === "search" && fresh() > 0 && html`<span class="badge active">${t.search.fresh(fresh())}</span>`}</a></li>`,
    )}</ul></nav>
    <div class="rates"><div><span>↓ ${t.down}</span><strong>${rate(status?.download_rate)}</strong></div><div><span>↑ ${t.up}</span><strong>${rate(status?.upload_rate)}</strong></div></div>
  </header>`;
}

const WELCOMED = "shoal-welcomed";

const toContent = (event) => {
  event.preventDefault();
  document.getElementById("content").focus();
};

function App() {
  const { session, online, status } = useStore();
  const [first, second] = useRoute();
  const [adding, add] = useState(null);
  const [welcomed, setWelcomed] = useState(localStorage.getItem(WELCOMED) !== null);
  const welcome = () => {
    localStorage.setItem(WELCOMED, "yes");
    setWelcomed(true);
  };
  const view = first in VIEWS ? first : "transfers";
  useEffect(() => {
    document.title = `${t.nav[view]} · ${t.app}`;
  }, [view]);
  if (session === "unknown") return html`<main class="login"><p role="status">${online ? t.loading : t.offline}</p></main>`;
  if (session === "login") return html`<${Login} />`;
  const View = view === "transfers" && second ? Detail : VIEWS[view];
  return html`<a class="skip" href="#content" onClick=${toContent}>${t.skip}</a>
    <div class="frame">
      <${Side} view=${view} />
      <main class="main" id="content" tabindex="-1">${!online && html`<p class="banner" role="alert">${t.offline}</p>`}
        <${View} key=${view + (second ?? "")} id=${second} add=${add} /></main>
    </div>
    ${adding && html`<${Add} start=${adding} close=${() => add(null)} />`}
    ${view === "transfers" && status?.first_start && status.transfers.total === 0 && !welcomed && !adding && html`<${Welcome} close=${() => welcome()} add=${(start) => { welcome(); add(start); }} />`}
    <${DropZone} add=${add} /><${Notices} />`;
}

/**
 * `shoal up --open` hands over a code that works once, so that nobody types a password at home, and perhaps a view. It
 * leaves the address before anything is drawn.
 */
function handedOver() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const code = asked.get("code");
  if (code) history.replaceState(null, "", `#/${asked.get("view") ?? "transfers"}`);
  return code;
}

async function enter(code = null) {
  if (code) {
    try {
      await api.post("/login", { code });
    } catch (error) {
      tell(error);
    }
  }
  try {
    await begin();
  } catch {
    state.online = false;
    changed();
    setTimeout(() => enter(code), 2000);
  }
}

applyTheme();
const code = handedOver();
render(html`<${App} />`, document.getElementById("app"));
enter(code);
