// What searches find: the one that is shown, and saved ones that keep watching while the page is open. What is saved,
// and what has been seen, stays in this browser.

import * as api from "./api.js";
import { changed, notify, state } from "./store.js";
import { t } from "./strings.js";

/** Results of each network that are enough. */
const LIMIT = 200;
const SAVED = "shoal-searches";
const SEEN = "shoal-seen";
const SAVED_MAX = 20;
const SEEN_MAX = 5000;
/** Results of a saved search that are remembered as known. */
const KNOWN_MAX = 500;
/** Milliseconds between two looks of saved searches. */
const WATCH_EVERY = 60_000;
/** So many different contents under one name, or of one size, are suspicious. */
const NAMES_MIN = 2;
const SIZES_MIN = 4;
/** What is mine is not spam. */
const MINE = new Set(["library", "transfers"]);

function stored(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function store(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // A browser that keeps nothing forgets it when the page is closed.
  }
}

/** What a result is, the same whoever found it; without a content id, what it is called there. */
export const keyOf = (result) => result.sha1 ?? result.infohash_v1 ?? result.infohash_v2 ?? result.sha256 ?? result.tth ?? `${result.network}/${result.id}`;

const idOf = ({ sha1, infohash_v1, infohash_v2, sha256, tth }) => sha1 ?? infohash_v1 ?? infohash_v2 ?? sha256 ?? tth ?? null;

/** Name without case, spaces and extension, for comparisons. */
const plain = (name) => name.toLowerCase().replace(/\.[a-z0-9]{1,5}$/, "").replace(/[\s_.-]+/g, " ").trim();

/**
 * What is suspicious, as a map from results to reasons: "name", when different contents go by one name, and "size",
 * when many contents have one size to the byte. Only what strangers offer is marked.
 */
export function suspicions(results) {
  const groups = (by) => {
    const made = new Map();
    for (const result of results) {
      const id = idOf(result);
      const key = by(result);
      if (id && key) made.set(key, (made.get(key) ?? new Set()).add(id));
    }
    return made;
  };
  const names = groups(({ name }) => plain(name));
  const sizes = groups(({ length }) => length);
  const marked = new Map();
  for (const result of results) {
    if (result.found.some(({ network }) => MINE.has(network))) continue;
    const why = [];
    if ((names.get(plain(result.name))?.size ?? 0) >= NAMES_MIN) why.push("name");
    if ((sizes.get(result.length)?.size ?? 0) >= SIZES_MIN) why.push("size");
    if (why.length > 0) marked.set(result, why);
  }
  return marked;
}

/** Asks all networks; `heard(event, data)` hears results and networks as they come. */
const ask = (words, heard, signal) => api.read("/search" + api.query({ q: words, limit: LIMIT, stream: true }), heard, signal);

export const shown = { words: "", results: [], networks: [], running: false, error: null, seen: new Set() };
let stop = null;
const seen = new Set(stored(SEEN, []));

/** Begins to search; what was shown before is forgotten. */
export async function search(words) {
  stop?.abort();
  const mine = (stop = new AbortController());
  const before = new Set(seen);
  Object.assign(shown, { words, results: [], networks: [], running: true, error: null, seen: before });
  changed();
  const heard = (event, data) => {
    if (mine.signal.aborted) return;
    if (event === "result") shown.results[data.number] = data;
    else if (event === "same") delete shown.results[data.number];
    else if (event === "network") shown.networks = [...shown.networks, data];
    changed();
  };
  try {
    await ask(words, heard, mine.signal);
  } catch (error) {
    if (!mine.signal.aborted) shown.error = error;
  }
  if (mine.signal.aborted) return;
  shown.running = false;
  shown.results.forEach((result) => see(keyOf(result)));
  store(SEEN, [...seen].slice(-SEEN_MAX));
  const mineToo = saved.find((each) => each.words === words);
  if (mineToo) know(mineToo, shown.results.map(keyOf));
  changed();
}

/** Stops what is under way; what was found stays. */
export function cancel() {
  stop?.abort();
  shown.running = false;
  changed();
}

function see(key) {
  seen.delete(key);
  seen.add(key);
}

/** Saved searches: `{ words, known: [key], fresh }`, `fresh` being how many results nobody has looked at. */
export let saved = stored(SAVED, []);

const keep = () => store(SAVED, saved);

function know(one, keys) {
  one.known = [...new Set([...one.known, ...keys])].slice(-KNOWN_MAX);
  one.fresh = 0;
  keep();
}

export function save(words) {
  if (saved.some((each) => each.words === words)) return;
  saved = [...saved, { words, known: shown.words === words ? shown.results.map(keyOf) : [], fresh: 0 }].slice(-SAVED_MAX);
  keep();
  changed();
}

export function forget(words) {
  saved = saved.filter((each) => each.words !== words);
  keep();
  changed();
}

/** How many results of saved searches nobody has looked at. */
export const fresh = () => saved.reduce((sum, each) => sum + each.fresh, 0);

/** Asks every saved search again, one after the other. */
export async function look() {
  for (const one of saved) {
    const results = [];
    try {
      await ask(one.words, (event, data) => event === "result" && (results[data.number] = data), AbortSignal.timeout(WATCH_EVERY));
    } catch {
      continue;
    }
    if (!saved.includes(one)) continue;
    const known = new Set(one.known);
    const unknown = results.filter((result) => !known.has(keyOf(result))).length;
    if (unknown > one.fresh) notify("info", t.search.freshFound(unknown, one.words), null, [`#/search/${encodeURIComponent(one.words)}`, t.search.show]);
    one.fresh = unknown;
    keep();
    changed();
  }
}

/** Keeps saved searches watching for as long as this page is open and logged in. */
export function watch() {
  const turn = async () => {
    if (state.session === "ready" && state.online) await look();
    setTimeout(turn, WATCH_EVERY);
  };
  setTimeout(turn, 5000);
}
