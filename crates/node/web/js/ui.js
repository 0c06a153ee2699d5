// Parts that several views are made of: icons, dialogs, tabs, empty states, bars, and how an error is told.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { ApiError } from "./api.js";
import { share } from "./format.js";
import { dismiss, notify, useStore } from "./store.js";
import { t } from "./strings.js";

const PATHS = {
  transfers: ["M7 4v14", "M3 14l4 4 4-4", "M17 20V6", "M13 10l4-4 4 4"],
  library: ["M3 6h7l2 3h9v10H3z"],
  search: ["M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14z", "M16 16l5 5"],
  networks: ["M12 5m-2 0a2 2 0 1 0 4 0 2 2 0 1 0-4 0", "M5 18m-2 0a2 2 0 1 0 4 0 2 2 0 1 0-4 0", "M19 18m-2 0a2 2 0 1 0 4 0 2 2 0 1 0-4 0", "M11 7l-5 9", "M13 7l5 9", "M7 18h10"],
  lab: ["M9 3h6", "M10 3v6L4.500 19a1.500 1.500 0 0 0 1.500 2h12a1.500 1.500 0 0 0 1.500-2L14 9V3", "M7.500 15h9"],
  settings: ["M4 7h9", "M17 7h3", "M15 7m-2 0a2 2 0 1 0 4 0 2 2 0 1 0-4 0", "M4 17h3", "M11 17h9", "M9 17m-2 0a2 2 0 1 0 4 0 2 2 0 1 0-4 0"],
  log: ["M5 4h14v16H5z", "M8 9h8", "M8 13h8", "M8 17h5"],
  add: ["M12 5v14", "M5 12h14"],
  back: ["M15 5l-7 7 7 7"],
  close: ["M6 6l12 12", "M18 6L6 18"],
};

export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">${PATHS[name].map((d) => html`<path d=${d} />`)}</svg>`;
}

/** What an error means and what can be done, as two texts; nothing if the login says it. */
function explain(error) {
  if (!(error instanceof ApiError)) return [t.errors.unknown, String(error?.message ?? error)];
  if (error.kind === "offline") return [t.errors.offline, t.errors.offlineHint];
  return error.status === 401 ? null : [error.message || t.errors.unknown, error.hint];
}

/** Says to the user what an error means and what can be done. */
export function tell(error) {
  const told = explain(error);
  if (told) notify("error", ...told);
}

/**
 * Runs `action` and tells its error, if it has one; resolves to whether it worked. Where a dialog is open, which hides
 * what is behind it, `say` shows the error there.
 */
export async function attempt(action, say = null) {
  try {
    await action();
    return true;
  } catch (error) {
    const told = explain(error);
    if (told && say) say(told.filter(Boolean).join(" "));
    else tell(error);
    return false;
  }
}

/** What `load` resolves to, asked again every `every` milliseconds and whenever `keys` change. */
export function useFetched(load, every, keys) {
  const [answer, set] = useState({ value: null, error: null });
  useEffect(() => {
    let live = true;
    let timer = 0;
    const ask = async () => {
      try {
        const value = await load();
        if (live) set({ value, error: null });
      } catch (error) {
        if (live) set((before) => ({ value: before.value, error }));
      }
      if (live && every) timer = setTimeout(ask, every);
    };
    ask();
    return () => {
      live = false;
      clearTimeout(timer);
    };
  }, keys);
  return answer;
}

export function Empty({ icon, title, hint, children }) {
  return html`<div class="empty"><${Icon} name=${icon} /><h2>${title}</h2><p class="muted">${hint}</p>${children}</div>`;
}

export function Bar({ have, total, state, label }) {
  const width = total > 0 ? Math.min(100, (have / total) * 100) : 0;
  const kind = { seeding: "done", finished: "done", failed: "failed", paused: "paused" }[state] ?? "";
  return html`<div class=${`bar ${kind}`} role="progressbar" aria-label=${label} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.floor(width)} aria-valuetext=${share(have, total)}><i style=${{ width: `${width}%` }}></i></div>`;
}

export function Tabs({ tabs, names, chosen, choose, label }) {
  const onKeyDown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = tabs[(tabs.indexOf(chosen) + step + tabs.length) % tabs.length];
    choose(next);
    event.currentTarget.querySelector(`#tab-${next}`)?.focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${onKeyDown}>
    ${tabs.map((tab) => html`<button key=${tab} type="button" role="tab" id=${`tab-${tab}`} aria-selected=${tab === chosen} aria-controls="panel" tabindex=${tab === chosen ? 0 : -1} onClick=${() => choose(tab)}>${names[tab]}</button>`)}
  </div>`;
}

/** A modal dialog: the browser keeps the focus in it and closes it by Escape. */
export function Dialog({ title, close, children }) {
  const ref = useRef(null);
  useEffect(() => {
    const dialog = ref.current;
    dialog.showModal();
    // Where to begin is not the button that closes.
    dialog.querySelector("[autofocus]")?.focus();
    return () => dialog.open && dialog.close();
  }, []);
  return html`<dialog ref=${ref} aria-labelledby="dialog-title" onClose=${close} onClick=${(event) => event.target === ref.current && close()}>
    <div class="dialog"><div class="row"><h2 id="dialog-title" class="grow">${title}</h2><button type="button" class="quiet" aria-label=${t.close} onClick=${close}><${Icon} name="close" /></button></div>${children}</div>
  </dialog>`;
}

export function Notices() {
  const { notices } = useStore();
  return html`<div class="notices" role="status" aria-live="polite">${notices.map(
    (notice) => html`<div key=${notice.id} class=${`notice ${notice.level}`}><div class="grow wrap"><div>${notice.message}</div>${notice.hint && html`<div class="small muted">${notice.hint}</div>`}${notice.link && html`<a class="small" href=${notice.link[0]}>${notice.link[1]}</a>`}</div>
      <button type="button" class="quiet" aria-label=${t.close} onClick=${() => dismiss(notice.id)}><${Icon} name="close" /></button></div>`,
  )}</div>`;
}

/** A value that follows the last keystroke after a moment. */
export function useDelayed(value, milliseconds) {
  const [late, set] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => set(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value]);
  return late;
}
