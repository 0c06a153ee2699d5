// How a transfer is added: by link, by file, by path, or by a drop anywhere on the page.

import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import * as api from "../api.js";
import { learn, notify, useStore } from "../store.js";
import { t } from "../strings.js";
import { Dialog, Tabs, attempt, tell } from "../ui.js";

const TORRENT = "application/x-bittorrent";
const isTorrent = (file) => file.name.endsWith(".torrent") || file.type === TORRENT;

async function send(request) {
  try {
    const transfer = await request();
    learn(transfer);
    notify("info", t.add.added(transfer.name ?? transfer.id));
    location.hash = "#/transfers";
  } catch (error) {
    if (error.kind === "conflict" && error.id) {
      notify("info", t.add.there);
      location.hash = `#/transfers/${encodeURIComponent(error.id)}`;
    } else {
      throw error;
    }
  }
}

const sendFile = async (file, options = {}) => {
  const bytes = await file.arrayBuffer();
  await send(() => api.upload("/transfers" + api.query(options), bytes, TORRENT));
};

export function Add({ start, close }) {
  const { status } = useStore();
  const [tab, choose] = useState(start.tab ?? "fetch");
  const [problem, blame] = useState(null);
  const [busy, work] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const text = (name) => (form.get(name) ?? "").trim();
    const file = form.get("file");
    const dir = text("dir") || null;
    const paused = form.has("paused");
    const sequential = form.has("sequential");
    let request;
    if (tab === "share") {
      if (!text("path").startsWith("/")) return blame(t.add.needPath);
      const trackers = text("trackers").split(/\s+/).filter(Boolean);
      request = () => send(() => api.post("/transfers", { source: text("path"), trackers, publish: { private: form.has("private") } }));
    } else if (file?.size) {
      if (!isTorrent(file)) return blame(t.add.notTorrent);
      request = () => sendFile(file, { dir, paused, sequential });
    } else if (text("source")) {
      request = () => send(() => api.post("/transfers", { source: text("source"), dir, paused, sequential }));
    } else {
      return blame(t.add.need);
    }
    work(true);
    blame(null);
    if (await attempt(request, blame)) close();
    else work(false);
  };
  return html`<${Dialog} title=${t.add.title} close=${close}>
    <${Tabs} tabs=${["fetch", "share"]} names=${t.add.tabs} chosen=${tab} choose=${choose} label=${t.add.title} />
    <form id="panel" role="tabpanel" aria-labelledby=${`tab-${tab}`} class="stack flush" onSubmit=${submit} noValidate>
      ${tab === "fetch"
        ? html`<label class="field"><span>${t.add.source}</span><input name="source" autocomplete="off" spellcheck="false" autofocus placeholder=${t.add.sourceHelp} defaultValue=${start.source ?? ""} /></label>
          <label class="field"><span>${t.add.file}</span><input name="file" type="file" accept=${`.torrent,${TORRENT}`} /></label>
          <label class="field"><span>${t.add.dir}</span><input name="dir" autocomplete="off" spellcheck="false" placeholder=${status?.download_dir ?? ""} /></label>
          <label class="check"><input type="checkbox" name="sequential" />${t.add.sequential}</label>
          <label class="check"><input type="checkbox" name="paused" />${t.add.paused}</label>`
        : html`<label class="field"><span>${t.add.path}</span><input name="path" autocomplete="off" spellcheck="false" autofocus aria-describedby="path-help" /></label>
          <p id="path-help" class="small muted">${t.add.pathHelp}</p>
          <label class="field"><span>${t.add.trackers}</span><textarea name="trackers" spellcheck="false"></textarea></label>
          <label class="check"><input type="checkbox" name="private" />${t.add.private}</label>`}
      ${problem && html`<p class="bad" role="alert">${problem}</p>`}
      <div class="end"><button type="button" onClick=${close}>${t.cancel}</button><button class="primary" type="submit" disabled=${busy}>${tab === "fetch" ? t.add.submitFetch : t.add.submitShare}</button></div>
    </form>
  <//>`;
}

/** Takes torrent files and links that are dropped anywhere. */
export function DropZone({ add }) {
  const [over, hover] = useState(false);
  useEffect(() => {
    let depth = 0;
    const enter = (event) => { event.preventDefault(); depth += 1; hover(true); };
    const leave = () => { depth -= 1; if (depth <= 0) { depth = 0; hover(false); } };
    const stay = (event) => event.preventDefault();
    const drop = async (event) => {
      event.preventDefault();
      depth = 0;
      hover(false);
      const files = [...event.dataTransfer.files];
      for (const file of files) {
        if (isTorrent(file)) await attempt(() => sendFile(file));
        else tell(new Error(`${file.name}: ${t.add.notTorrent}`));
      }
      const text = event.dataTransfer.getData("text/plain").trim();
      if (files.length === 0 && text) add({ source: text });
    };
    const all = { dragenter: enter, dragleave: leave, dragover: stay, drop };
    for (const [name, listener] of Object.entries(all)) addEventListener(name, listener);
    return () => {
      for (const [name, listener] of Object.entries(all)) removeEventListener(name, listener);
    };
  }, []);
  return over && html`<div class="drop" aria-hidden="true">${t.transfers.drop}</div>`;
}
