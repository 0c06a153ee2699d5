// What the page knows of the node, kept current by the event stream; views subscribe to it.

import { useEffect, useState } from "../vendor/htm-preact.js";
import * as api from "./api.js";

const RATES_MAX = 300;
const LOG_MAX = 2000;
const NOTICES_MAX = 4;
/** Milliseconds until a node that refused is asked again. */
const AGAIN = 1500;

export const state = {
  /** "unknown", "login", "ready" */
  session: "unknown",
  methods: [],
  online: true,
  status: null,
  transfers: new Map(),
  loaded: false,
  log: [],
  runs: new Map(),
  notices: [],
  /** Saved searches. */
  searches: [],
  /** Rates by transfer id, and "" for all: [time, down, up] */
  rates: new Map(),
};

const listeners = new Set();
let queued = false;

/** Tells all views, once per frame however often it is called. */
export function changed() {
  if (queued) return;
  queued = true;
  requestAnimationFrame(() => {
    queued = false;
    for (const listener of listeners) listener();
  });
}

/** Draws the calling component again whenever the store changes. */
export function useStore() {
  const [, draw] = useState(0);
  useEffect(() => {
    const listener = () => draw((n) => n + 1);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
  return state;
}

let notices = 0;
/** Says something in a corner for a while; `link` is `[address, text]` of where it leads. */
export function notify(level, message, hint = null, link = null) {
  const notice = { id: ++notices, level, message, hint, link };
  state.notices = [...state.notices.slice(1 - NOTICES_MAX), notice];
  changed();
  if (level !== "error") setTimeout(() => dismiss(notice.id), 6000);
}

export function dismiss(id) {
  state.notices = state.notices.filter((notice) => notice.id !== id);
  changed();
}

function remember(id, down, up) {
  let rates = state.rates.get(id);
  if (!rates) state.rates.set(id, (rates = []));
  rates.push([Date.now() / 1000, down, up]);
  if (rates.length > RATES_MAX) rates.splice(0, rates.length - RATES_MAX);
}

const handlers = {
  status(status) {
    state.status = status;
    remember("", status.download_rate, status.upload_rate);
    for (const [id, transfer] of state.transfers) {
      if (state.rates.has(id) || transfer.download_rate || transfer.upload_rate) {
        remember(id, transfer.download_rate, transfer.upload_rate);
      }
    }
    changed();
  },
  transfers({ all, transfers, removed }) {
    if (all) state.transfers = new Map();
    for (const transfer of transfers) state.transfers.set(transfer.id, transfer);
    for (const id of removed) {
      state.transfers.delete(id);
      state.rates.delete(id);
    }
    state.loaded = true;
    changed();
  },
  log(entry) {
    state.log.push(entry);
    if (state.log.length > LOG_MAX) state.log.splice(0, state.log.length - LOG_MAX);
    changed();
  },
  lab(run) {
    state.runs.set(run.id, { ...state.runs.get(run.id), ...run });
    changed();
  },
  searches(saved) {
    state.searches = saved;
    changed();
  },
  notice({ level, message }) {
    notify(level, message);
  },
};

let stop = null;

/** Learns whether a login is needed, and if not, begins to follow. */
export async function begin() {
  const { authenticated, methods } = await api.get("/login");
  state.methods = methods;
  state.session = authenticated ? "ready" : "login";
  changed();
  if (!authenticated || stop) return;
  const { entries } = await api.get("/log");
  state.log = entries;
  stop = api.follow(handlers, (what) => {
    state.online = what === "open";
    changed();
    if (what === "refused") setTimeout(again, AGAIN);
  });
}

/** Begins anew, as soon as the node answers. */
async function again() {
  stop?.();
  stop = null;
  try {
    await begin();
    state.online = true;
    changed();
  } catch {
    setTimeout(again, AGAIN);
  }
}

/** Ends the login, and asks for another. */
export async function leave() {
  await api.post("/logout");
  stop?.();
  stop = null;
  state.transfers = new Map();
  state.log = [];
  state.loaded = false;
  await begin();
}

api.onUnauthorized(() => {
  stop?.();
  stop = null;
  state.session = "login";
  changed();
});

/** Puts in what the node answered to a change, ahead of the event that will say the same. */
export function learn(transfer) {
  if (transfer?.id) state.transfers.set(transfer.id, transfer);
  changed();
}
