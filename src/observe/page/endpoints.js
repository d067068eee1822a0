// The table of endpoints: one row each, in the gateway's order.

const COLUMNS = [
  { name: "Endpoint", className: "address" },
  { name: "State", className: "state" },
  { name: "Priority", className: "number" },
  { name: "Weight", className: "number" },
  { name: "Connections", className: "number" },
  { name: "Bytes/s", className: "number" },
  { name: "Mean dial", className: "number" },
  { name: "Connections, 10 min", className: "plot" },
  { name: "Bytes/s, 10 min", className: "plot" },
];
const LEVELS = { up: "ok", unhealthy: "warn", unresponsive: "bad", down: "bad" };

byId("endpoints").tHead.append(
  element(
    "tr",
    { role: "row" },
    COLUMNS.map(({ name, className }) =>
      element("th", { scope: "col", role: "columnheader", className, text: name }),
    ),
  ),
);

function endpointRow() {
  const cells = COLUMNS.map(({ name, className }, i) => {
    const inside = className === "plot" ? [drawing(1)] : [element("span"), element("small")];
    if (i === 0) return element("th", { scope: "row", role: "rowheader", className }, inside);
    // A state needs no label.
    const label = className === "state" ? {} : { "data-label": name };
    return element("td", { role: "cell", className, ...label }, inside);
  });
  return element("tr", { role: "row" }, cells);
}

function endpoints({ gateway }, samples, now) {
  const list = gateway.endpoints;
  const body = byId("endpoints").tBodies[0];
  fit(body, list.length, endpointRow).forEach((row, i) => endpoint(row, list[i], samples, now));
  const up = list.filter(({ up }) => up).length;
  write(byId("endpoints-sum"), `${up} of ${list.length} up`);
}

function endpoint(row, status, samples, now) {
  const { address, origin, priority, weight, connections, up, healthy, health, why, sinceMs } =
    status;
  const bytesOf = ({ of }) => of.get(address)?.bytes;
  const oldest = samples.find(({ of }) => of.has(address)).of.get(address);
  const state = up ? (healthy ? "up" : health) : "down";
  const texts = [
    [address, `from ${origin}`],
    [state, `for ${duration(sinceMs)}${why === null ? "" : `: ${why}`}`],
    [String(priority)],
    [String(weight)],
    [count(connections)],
    [speed(now(bytesOf))],
    meanDial(status, oldest),
  ];
  const cells = [...row.children];
  texts.forEach(([text, note = ""], i) => {
    write(cells[i].firstChild, text);
    write(cells[i].lastChild, note);
  });
  cells[1].firstChild.className = `${state} ${LEVELS[state]}`;
  const connectionsThen = gauges(samples, ({ of }) => of.get(address)?.connections);
  const bytesThen = rates(samples, bytesOf);
  const [busiest, fastest] = [maxOf([connectionsThen]), maxOf([bytesThen])];
  const [busyPlot, fastPlot] = cells.slice(-2).map((cell) => cell.firstChild);
  draw(busyPlot, [connectionsThen], roundUp(busiest, 10), `at most ${count(busiest)}`);
  draw(fastPlot, [bytesThen], roundUp(fastest, 1024), `at most ${speed(fastest)}`);
}

/** Of the dials since `oldest`, its oldest sample; of all, if there were none since. */
function meanDial({ dials, dialTimes }, oldest) {
  const { connected, overtaken, abandoned, ...failed } = dials;
  const isLate = connected > oldest.dials;
  const n = isLate ? connected - oldest.dials : connected;
  const seconds = dialTimes.sumSeconds - (isLate ? oldest.dialSeconds : 0);
  const notes = [
    n > 0 && `of ${count(n)} ${isLate ? "in 10 min" : "since the start"}`,
    some(failed),
  ];
  return [n > 0 ? brief(seconds / n) : NONE, notes.filter(Boolean).join("; ")];
}
