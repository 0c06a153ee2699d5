// What all pictures share: a canvas as sharp as the screen, the theme's colours, drawn again when either changes.

import { html, useEffect, useRef } from "../../vendor/htm-preact.js";

const NAMES = ["text", "muted", "line", "line-strong", "accent", "accent-fill", "accent-soft", "good-fill", "warn", "bad", "surface", "sunken"];

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

/** A picture: `draw(context, width, height, colours)` in CSS pixels; `label` says it in words. */
export function Picture({ draw, label, className = "", height = null }) {
  const ref = useRef(null);
  const last = useRef(draw);
  last.current = draw;
  const paint = () => {
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
    context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    last.current(context, clientWidth, clientHeight, palette(canvas));
  };
  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const theme = new MutationObserver(paint);
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    dark.addEventListener("change", paint);
    const observer = new ResizeObserver(paint);
    observer.observe(ref.current);
    return () => {
      observer.disconnect();
      theme.disconnect();
      dark.removeEventListener("change", paint);
    };
  }, []);
  useEffect(paint);
  return html`<canvas ref=${ref} class=${className} role="img" aria-label=${label} style=${height ? { height: `${height}px` } : null}></canvas>`;
}

/** `text` cut to `width` pixels. */
export function fit(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let end = text.length;
  while (end > 1 && context.measureText(`${text.slice(0, end)}…`).width > width) end -= 1;
  return `${text.slice(0, end)}…`;
}
