// The three large plots. The pointer or the arrow keys select a time, and all three
// show their values at that time; otherwise they show the current values.

const STEP_MS = 5000; // the interval of the gateway's samples

/** The selected time as an age; undefined if none is selected. */
let selectedAgeMs;

class Plot {
  #series = [];
  #title;
  #format;
  #base;
  #svg;
  #values;
  #cross = svgElement("line", { class: "cross", y1: 0, y2: 100 });
  #top = element("small", { className: "top" });
  #half = element("small", { className: "half" });
  #when = element("small", { text: "now" });

  constructor(title, names, format, base) {
    this.#title = title;
    this.#format = format;
    this.#base = base;

    this.#svg = createPlot(names.length);
    for (const y of [2, 51, 100])
      this.#svg.prepend(svgElement("line", { class: "grid", x2: 600, y1: y, y2: y }));
    this.#svg.append(this.#cross);

    this.#values = names.map(() => element("b"));
    const keys = this.#values.map((value, i) => {
      const className = names.length < 2 ? "" : i === 0 ? "key" : "key second";
      return element("span", { className }, [`${names[i]} `, value]);
    });
    this.#addListeners();

    byId("plots").append(
      element("figure", { className: "panel" }, [
        element("figcaption", {}, [element("h2", { text: title }), ...keys]),
        element("div", { className: "field" }, [this.#svg, this.#top, this.#half]),
        element("div", { className: "axis" }, [
          element("small", { text: "10 min ago" }),
          this.#when,
        ]),
      ]),
    );
  }

  show(series) {
    this.#series = series;
    const highest = maxOf(series);
    const top = roundUp(highest, this.#base);

    setText(this.#top, this.#format(top));
    setText(this.#half, this.#format(top / 2));
    const label = `${this.#title} in the last ten minutes: at most ${this.#format(highest)}`;
    draw(this.#svg, series, top, label);
    this.showValues();
  }

  /** Shows the values at the selected time, or the latest. */
  showValues() {
    this.#series.forEach((points, i) => {
      const value = pointAt(points, selectedAgeMs)?.value;
      setText(this.#values[i], value === undefined ? NONE : this.#format(value));
    });

    const isSelected = selectedAgeMs !== undefined;
    setText(this.#when, isSelected ? `${duration(selectedAgeMs)} ago` : "now");
    const x = isSelected ? xOf(selectedAgeMs) : -10;
    this.#cross.setAttribute("x1", x);
    this.#cross.setAttribute("x2", x);
  }

  #addListeners() {
    const svg = this.#svg;
    svg.setAttribute("tabindex", 0);
    svg.addEventListener("pointermove", ({ clientX }) => {
      const { left, width } = svg.getBoundingClientRect();
      select(SPAN_MS * (1 - (clientX - left) / width));
    });
    svg.addEventListener("keydown", ({ key }) => {
      const steps = { ArrowLeft: 1, ArrowRight: -1 }[key];
      if (steps !== undefined) select((selectedAgeMs ?? 0) + steps * STEP_MS);
    });
    for (const type of ["pointerleave", "blur"]) svg.addEventListener(type, () => select());
  }
}

/** Returns the latest point, or the one nearest to `ageMs` if that is within one step. */
function pointAt(points, ageMs) {
  if (ageMs === undefined) return points.at(-1);
  const distance = (point) => Math.abs(point.ageMs - ageMs);
  const nearest = points.toSorted((a, b) => distance(a) - distance(b))[0];
  return nearest && distance(nearest) <= STEP_MS ? nearest : undefined;
}

const clientsPlot = new Plot("Active clients", [""], number, 10);
const newPlot = new Plot("New clients per second", [""], perSecond, 10);
const bytesPlot = new Plot("Bytes/s", ["to servers", "to clients"], bytesPerSecond, 1024);

function select(ageMs) {
  selectedAgeMs = ageMs === undefined ? undefined : Math.min(SPAN_MS, Math.max(0, ageMs));
  for (const plot of [clientsPlot, newPlot, bytesPlot]) plot.showValues();
}

function renderPlots(samples) {
  clientsPlot.show([gauges(samples, ({ active }) => active)]);
  newPlot.show([rates(samples, ({ accepted }) => accepted)]);
  bytesPlot.show([
    rates(samples, ({ bytesToServers }) => bytesToServers),
    rates(samples, ({ bytesToClients }) => bytesToClients),
  ]);
}
