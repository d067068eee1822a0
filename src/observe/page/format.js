// Figures as people read them. Undefined is one that is not known.

const NONE = "–";

const count = (value) => Math.round(value).toLocaleString("en");
const words = (name) => name.replaceAll("_", " ");
const clock = (date) => date.toISOString().slice(11, 19);

function number(value) {
  if (value === undefined) return NONE;
  return value < 10 ? String(Number(value.toFixed(1))) : count(value);
}

function size(bytes) {
  if (bytes === undefined) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; bytes >= 1024 && unit < units.length - 1; unit++) bytes /= 1024;
  return `${unit === 0 || bytes >= 100 ? count(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}

const perSecond = (value) => (value === undefined ? NONE : `${number(value)}/s`);
const speed = (bytes) => (bytes === undefined ? NONE : `${size(bytes)}/s`);

function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  const [d, h, m, s] = [
    seconds / 86400,
    (seconds / 3600) % 24,
    (seconds / 60) % 60,
    seconds % 60,
  ].map(Math.floor);
  if (d > 0) return `${d}d ${h}h`;
  if (h > 0) return `${h}h ${m}m`;
  return m > 0 ? `${m}m ${s}s` : `${s}s`;
}

/** Of something that should take milliseconds. */
function brief(seconds) {
  const ms = seconds * 1000;
  if (ms >= 1000) return `${seconds.toFixed(1)} s`;
  return `${ms >= 10 ? ms.toFixed(0) : ms.toFixed(ms >= 1 ? 1 : 2)} ms`;
}

/** `2 no endpoint, 1 client left`; counts of 0 are not news. */
const some = (counts) =>
  Object.entries(counts)
    .filter(([, n]) => n > 0)
    .map(([name, n]) => `${count(n)} ${words(name)}`)
    .join(", ");

const sum = (counts) => Object.values(counts).reduce((total, n) => total + n, 0);
