// Formats values for display. An undefined value is not known and is shown as NONE.

const NONE = "–";

const count = (value) => Math.round(value).toLocaleString("en");
const spaced = (name) => name.replaceAll("_", " ");
const timeOfDay = (date) => date.toISOString().slice(11, 19);

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
const bytesPerSecond = (bytes) => (bytes === undefined ? NONE : `${size(bytes)}/s`);

/** Formats a duration of seconds to days in its two largest units. */
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

/** Formats a duration that is normally a few milliseconds. */
function shortDuration(seconds) {
  const ms = seconds * 1000;
  if (ms >= 1000) return `${seconds.toFixed(1)} s`;
  return `${ms >= 10 ? ms.toFixed(0) : ms.toFixed(ms >= 1 ? 1 : 2)} ms`;
}

/** Lists the counts above 0, for example `2 no endpoint, 1 client left`. */
const listCounts = (counts) =>
  Object.entries(counts)
    .filter(([, n]) => n > 0)
    .map(([name, n]) => `${count(n)} ${spaced(name)}`)
    .join(", ");

const sum = (counts) => Object.values(counts).reduce((total, n) => total + n, 0);
