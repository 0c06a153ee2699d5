// Long tables: rows have one height and only those in sight exist, so that hundreds of thousands scroll.

import { html, useEffect, useMemo, useRef, useState } from "../vendor/htm-preact.js";

const MARGIN_ROWS = 8;
/** Height of the headings with the borders, in pixels, as app.css has them. */
const HEADINGS = 42;
/** Of these the borders; a narrow window has no headings. */
const BORDERS = 2;
const NARROW = "(max-width: 760px)";

/** Whether the window is as narrow as a phone. */
export function useNarrow() {
  const media = useMemo(() => matchMedia(NARROW), []);
  const [narrow, set] = useState(media.matches);
  useEffect(() => {
    const listen = () => set(media.matches);
    media.addEventListener("change", listen);
    return () => media.removeEventListener("change", listen);
  }, []);
  return narrow;
}

/**
 * A table of `count` rows, `each` pixels high: `row(index, top)` draws one, `headings` the line above them. `sight`,
 * if given, hears which rows are in sight.
 */
export function Rows({ count, each, row, headings, label, sight }) {
  const narrow = useNarrow();
  const [[from, height], look] = useState([0, 800]);
  const box = useRef(null);
  useEffect(() => {
    const element = box.current;
    const measure = () => look([element.scrollTop, element.clientHeight]);
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    element.addEventListener("scroll", measure, { passive: true });
    measure();
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", measure);
    };
  }, []);
  const first = Math.max(0, Math.min(count, Math.floor(from / each)) - MARGIN_ROWS);
  const last = Math.min(count, Math.ceil((from + height) / each) + MARGIN_ROWS);
  useEffect(() => sight?.(first, last), [first, last, sight]);
  const shown = [];
  for (let index = first; index < last; index += 1) shown.push(row(index, index * each));
  return html`<div class="card list" role="table" aria-label=${label} aria-rowcount=${count + 1} style=${{ "--content": `${count * each + (narrow ? BORDERS : HEADINGS)}px` }}>
    ${headings}
    <div class="rows" role="rowgroup" ref=${box} tabindex="-1"><div class="space" role="presentation" style=${{ height: `${count * each}px` }}>${shown}</div></div></div>`;
}

/** Pages that are kept: what is far from sight is asked for again when it is wanted. */
const PAGES_MAX = 12;

/**
 * A long list that is asked for page by page, as it comes into sight: `load(offset)` resolves to `[items, total]`.
 * Asked anew when `keys` change; what was shown stays until the answer is there. `turn` asks again for what is in
 * sight.
 */
export function usePages(load, size, keys, turn) {
  const [, draw] = useState(0);
  const kept = useRef({ pages: new Map(), total: null, asked: new Set(), sight: [0, 0], generation: 0, error: null });
  const fetchPage = async (page) => {
    const its = kept.current;
    const { generation } = its;
    if (its.asked.has(page)) return;
    its.asked.add(page);
    try {
      const [items, total] = await load(page * size);
      if (generation !== kept.current.generation) return;
      if (its.fresh) its.pages = new Map();
      its.fresh = false;
      its.pages.delete(page);
      its.pages.set(page, items);
      its.total = total;
      its.error = null;
      for (const old of its.pages.keys()) if (its.pages.size > PAGES_MAX) its.pages.delete(old);
    } catch (error) {
      if (generation !== kept.current.generation) return;
      its.error = error;
    } finally {
      its.asked.delete(page);
    }
    draw((n) => n + 1);
  };
  useEffect(() => {
    const its = kept.current;
    its.generation += 1;
    its.asked = new Set();
    its.fresh = true;
    its.sight = [0, 0];
    fetchPage(0);
  }, keys);
  useEffect(() => {
    if (!turn) return;
    const [first, last] = kept.current.sight;
    for (let page = Math.floor(first / size); page * size <= last; page += 1) fetchPage(page);
  }, [turn]);
  const sight = (first, last) => {
    const its = kept.current;
    its.sight = [first, last];
    for (let page = Math.floor(first / size); page * size < last; page += 1) if (!its.pages.has(page)) fetchPage(page);
  };
  const { total, pages, error } = kept.current;
  return { total, error, sight, at: (index) => pages.get(Math.floor(index / size))?.[index % size] ?? null };
}
