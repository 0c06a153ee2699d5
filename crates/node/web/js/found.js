// What searches find: the one that is shown, and saved ones, which the node keeps asking. What has been seen of those that
// are not saved stays in this browser.

import * as api from "./api.js";
import { changed, state } from "./store.js";

/** Results of each network that are enough. */
const LIMIT = 200;
const SEEN = "shoal-seen";
const SEEN_MAX = 5000;
/** Characters of the name of a saved search. */
const NAME_MAX = 100;

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

/** Asks all networks; `heard(event, data)` hears results and networks as they come. */
function ask(words, heard, signal) {
  const name = savedAs(words)?.name;
  return api.read("/search" + api.query({ ...(name ? { saved: name } : { q: words }), limit: LIMIT, stream: true }), heard, signal);
}

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

/** The saved search for these words, if there is one. */
export const savedAs = (words) => state.searches.find((each) => each.words === words);

const path = (name) => `/searches/${encodeURIComponent(name)}`;

/** Has the node keep watching; what it finds now has been seen once it is shown. */
export async function save(words) {
  await api.put(path(words.slice(0, NAME_MAX)), { words });
  if (shown.words === words) await search(words);
}

/** Has the node watch for it no longer. */
export const forget = ({ name }) => api.remove(path(name));

/** How many results of saved searches nobody has looked at. */
export const fresh = () => state.searches.reduce((sum, each) => sum + each.fresh, 0);
