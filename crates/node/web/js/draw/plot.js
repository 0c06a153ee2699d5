// Plots by uPlot, in the theme's colours: curves beside curves, linear or logarithmic.

import { html, useEffect, useRef } from "../../vendor/htm-preact.js";
import uPlot from "../../vendor/uplot.js";
import { palette } from "./canvas.js";

const HEIGHT = 260;
const DASHES = { published: [6, 4], formula: [2, 3] };

/** Steps between the marks of rates: powers of two, so that they are round in KiB and MiB. */
const POWERS = Array.from({ length: 34 }, (_, n) => 2 ** (n + 6));
/** Least seconds that a plot of rates spans, so that its first minute does not shrink as one looks on. */
const WINDOW_MIN = 60;
/** Steps between the marks of seconds. */
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120];

const axis = (colours, label, values) => ({
  label,
  labelSize: label ? 22 : 0,
  stroke: colours.muted,
  grid: { stroke: colours.line, width: 1 },
  ticks: { stroke: colours.line, width: 1 },
  ...(values ? { values, size: 92 } : {}),
});

const scaleOf = (kind) => (kind === "log2" ? { distr: 3, log: 2 } : kind === "log10" ? { distr: 3, log: 10 } : {});

function usePlot(make, keys) {
  const ref = useRef(null);
  useEffect(() => {
    const box = ref.current;
    let plot = null;
    const draw = () => {
      plot?.destroy();
      const [options, data] = make(palette(box), box.clientWidth);
      plot = new uPlot({ width: box.clientWidth, height: HEIGHT, ...options }, data, box);
    };
    draw();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const theme = new MutationObserver(draw);
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    dark.addEventListener("change", draw);
    let width = box.clientWidth;
    const observer = new ResizeObserver(() => {
      if (box.clientWidth !== width) {
        width = box.clientWidth;
        plot.setSize({ width, height: HEIGHT });
      }
    });
    observer.observe(box);
    return () => {
      observer.disconnect();
      theme.disconnect();
      dark.removeEventListener("change", draw);
      plot?.destroy();
    };
  }, keys);
  return ref;
}

/** Curves with points of their own: `[{ name, role, points: [[x, y]] }]`. */
export function Curves({ title, x, y, series }) {
  const ref = usePlot(
    (colours) => {
      const strokes = [colours.accent, colours.warn, colours["good-fill"], colours.bad, colours.muted];
      const sorted = series.map(({ points }) => [...points].sort((a, b) => a[0] - b[0]));
      const data = uPlot.join(sorted.map((points) => [points.map((p) => p[0]), points.map((p) => p[1])]));
      return [
        {
          scales: { x: { time: false, ...scaleOf(x.scale) }, y: scaleOf(y.scale) },
          axes: [axis(colours, x.label), axis(colours, y.label)],
          series: [
            { label: x.label },
            ...series.map(({ name, role }, n) => ({
              label: name,
              stroke: strokes[n % strokes.length],
              width: 2,
              dash: DASHES[role],
              spanGaps: true,
              points: { show: sorted[n].length < 40, size: 6 },
            })),
          ],
        },
        data,
      ];
    },
    [series],
  );
  return html`<figure><h3>${title}</h3><div class="plot" ref=${ref} role="img" aria-label=${title}></div></figure>`;
}

/** Two rates over time: `[[time, down, up]]`. */
export function Rates({ rates, names, format, label }) {
  const latest = rates.at(-1)?.[0] ?? 0;
  const ref = usePlot(
    (colours) => [
      {
        scales: { x: { range: (_, low, high) => [Math.min(low, high - WINDOW_MIN), high] }, y: { range: (_, low, high) => [0, Math.max(high, 1024) * 1.05] } },
        axes: [{ ...axis(colours), incrs: SECONDS }, { ...axis(colours, undefined, (_, values) => values.map((value) => (value ? format(value) : "0"))), incrs: POWERS }],
        series: [{}, { label: names[0], stroke: colours.accent, fill: colours["accent-soft"], width: 2, value: (_, v) => format(v) }, { label: names[1], stroke: colours.warn, width: 2, value: (_, v) => format(v) }],
      },
      [rates.map((r) => r[0]), rates.map((r) => r[1]), rates.map((r) => r[2])],
    ],
    [latest],
  );
  return html`<div class="plot" ref=${ref} role="img" aria-label=${label}></div>`;
}
