// Draws plots of the last ten minutes as SVG paths. One unit of x is a second and the
// right edge is now; y is 0 to 100.

const xOf = (ageMs) => (SPAN_MS - ageMs) / 1000;

/** Returns the SVG path of `points`, with gaps where a value is undefined. */
function pathOf(points, top, isArea) {
  let path = "";
  let first;
  let last;

  const finish = () => {
    if (isArea && first !== undefined) path += `L${last} 100L${first} 100Z`;
    first = undefined;
  };

  for (const { ageMs, value } of points) {
    if (value === undefined) {
      finish();
      continue;
    }
    last = xOf(ageMs).toFixed(1);
    path += `${first === undefined ? "M" : "L"}${last} ${(100 - (value / top) * 98).toFixed(1)}`;
    first ??= last;
  }
  finish();
  return path;
}

const maxOf = (series) =>
  Math.max(0, ...series.flatMap((points) => points.map(({ value }) => value ?? 0)));

/** Returns the next round number at or above `value`. Base 1024: round in KiB, MiB and so on. */
function roundUp(value, base) {
  if (value <= 1) return 1;
  const unit = base ** Math.floor(Math.log(value) / Math.log(base) + 1e-9);
  const steps = base === 10 ? [1, 2, 5, 10] : [1, 2, 5, 10, 20, 50, 100, 200, 500, 1024];
  return unit * steps.find((step) => step * unit >= value);
}

function createPlot(seriesCount) {
  const svg = svgElement("svg", {
    viewBox: "0 0 600 100",
    preserveAspectRatio: "none",
    role: "img",
  });
  svg.layers = ["", " second"].slice(0, seriesCount).map((suffix) => {
    const area = svgElement("path", { class: `area${suffix}` });
    const line = svgElement("path", { class: `line${suffix}` });
    svg.append(area, line);
    return { area, line };
  });
  return svg;
}

function draw(svg, series, top, label) {
  series.forEach((points, i) => {
    svg.layers[i].area.setAttribute("d", pathOf(points, top, true));
    svg.layers[i].line.setAttribute("d", pathOf(points, top, false));
  });
  svg.setAttribute("aria-label", label);
}
