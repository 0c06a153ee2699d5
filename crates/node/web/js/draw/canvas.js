// What all pictures share: a canvas as sharp as the screen, the theme's colours, drawn again when either
// changes; for pictures that move, once per frame, unless people want less motion.

import { html, useEffect, useRef } from "../../vendor/htm-preact.js";

const NAMES = ["text", "muted", "line", "line-strong", "accent", "accent-fill", "accent-soft", "good-fill", "warn", "bad", "surface", "sunken", "violet", "teal"];

/** The theme's colours as the canvas understands them. */
export function palette(element) {
  const probe = document.createElement("span");
  element.parentElement.append(probe);
  const colours = {};
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return colours;
}

/**
 * A picture: `draw(context, width, height, colours, seconds)` in CSS pixels; `label` says it in words. One that
 * `moves` is drawn once per frame, with the time; otherwise, and for who wants less motion, the time is null.
 */
export function Picture({ draw, label, className = "", height = null, moves = false }) {
  const ref = useRef(null);
  const last = useRef(draw);
  const theme = useRef(null);
  last.current = draw;
  const paint = (time = null) => {
    const canvas = ref.current;
    if (!canvas) return;
    const { clientWidth, clientHeight } = canvas;
    const scale = devicePixelRatio || 1;
    if (canvas.width !== Math.round(clientWidth * scale) || canvas.height !== Math.round(clientHeight * scale)) {
      canvas.width = Math.round(clientWidth * scale);
      canvas.height = Math.round(clientHeight * scale);
    }
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, clientWidth, clientHeight);
    theme.current ??= { colours: palette(canvas), font: getComputedStyle(document.body).fontFamily };
    context.font = `12px ${theme.current.font}`;
    last.current(context, clientWidth, clientHeight, theme.current.colours, time === null ? null : time / 1000);
  };
  useEffect(() => {
    const again = () => {
      theme.current = null;
      paint();
    };
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const themes = new MutationObserver(again);
    themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    dark.addEventListener("change", again);
    const observer = new ResizeObserver(() => paint());
    observer.observe(ref.current);
    return () => {
      observer.disconnect();
      themes.disconnect();
      dark.removeEventListener("change", again);
    };
  }, []);
  useEffect(() => {
    if (!moves || matchMedia("(prefers-reduced-motion: reduce)").matches) return undefined;
    let frame = 0;
    const step = (time) => {
      paint(time);
      frame = requestAnimationFrame(step);
    };
    frame = requestAnimationFrame(step);
    return () => cancelAnimationFrame(frame);
  }, [moves]);
  useEffect(() => {
    paint();
  });
  return html`<canvas ref=${ref} class=${className} role="img" aria-label=${label} style=${height ? { height: `${height}px` } : null}></canvas>`;
}

/** `text` cut to `width` pixels. */
export function fit(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let end = text.length;
  while (end > 1 && context.measureText(`${text.slice(0, end)}…`).width > width) end -= 1;
  return `${text.slice(0, end)}…`;
}
