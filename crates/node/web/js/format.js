// Numbers, sizes and times as people read them, by the browser's own locale.

const plain = new Intl.NumberFormat();
const tenth = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const hundredth = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const NONE = "–";

export const count = (n) => (n === null || n === undefined ? NONE : plain.format(n));

export function size(bytes) {
  if (bytes === null || bytes === undefined) return NONE;
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? plain.format(value) : tenth.format(value)} ${UNITS[unit]}`;
}

export const rate = (bytes) => (bytes ? `${size(bytes)}/s` : NONE);
export const ratio = (value) => (value === null || value === undefined ? NONE : hundredth.format(value));
export const share = (part, whole) => percent.format(whole > 0 ? Math.min(1, part / whole) : 0);
export const part = (value) => percent.format(value ?? 0);
export const date = (seconds) => (seconds ? moment.format(seconds * 1000) : NONE);
export const time = (seconds) => clock.format(seconds * 1000);

/** A short span, to a tenth of a second: `0.7 s`. */
export const brief = (seconds) => (seconds < 10 ? `${tenth.format(seconds)} s` : span(seconds));

/** A span of time in its two largest units: `3 d 4 h`, `12 min 5 s`. */
export function span(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NONE;
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let left = Math.max(0, Math.round(seconds));
  const shown = [];
  for (const [unit, length] of parts) {
    const whole = Math.floor(left / length);
    left -= whole * length;
    if (whole > 0 || (unit === "s" && shown.length === 0)) shown.push(`${whole} ${unit}`);
    if (shown.length === 2) break;
  }
  return shown.join(" ");
}

/** A plain number with as many digits as it deserves. */
export function number(value) {
  if (typeof value !== "number") return String(value ?? NONE);
  if (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e7)) return value.toExponential(2);
  return new Intl.NumberFormat(undefined, { maximumSignificantDigits: 4 }).format(value);
}
