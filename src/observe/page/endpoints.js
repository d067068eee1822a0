// The table of endpoints: one row each, in the order of /status.

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

function createEndpointRow() {
  const cells = COLUMNS.map(({ name, className }, i) => {
    const content = className === "plot" ? [createPlot(1)] : [element("span"), element("small")];
    if (i === 0) return element("th", { scope: "row", role: "rowheader", className }, content);
    // The state is clear without a label.
    const label = className === "state" ? {} : { "data-label": name };
    return element("td", { role: "cell", className, ...label }, content);
  });
  return element("tr", { role: "row" }, cells);
}

function renderEndpoints({ gateway }, samples, currentRate) {
  const list = gateway.endpoints;
  const body = byId("endpoints").tBodies[0];
  resizeChildren(body, list.length, createEndpointRow).forEach((row, i) =>
    renderEndpoint(row, list[i], samples, currentRate),
  );

  const up = list.filter(({ up }) => up).length;
  setText(byId("endpoints-sum"), `${up} of ${list.length} up`);
}

function renderEndpoint(row, status, samples, currentRate) {
  const { address, origin, priority, weight, connections, up, healthy, health, why, sinceMs } =
    status;
  const bytesOf = ({ byAddress }) => byAddress.get(address)?.bytes;
  const oldest = samples.find(({ byAddress }) => byAddress.has(address)).byAddress.get(address);
  const state = up ? (healthy ? "up" : health) : "down";
  const texts = [
    [address, `from ${origin}`],
    [state, `for ${duration(sinceMs)}${why === null ? "" : `: ${why}`}`],
    [String(priority)],
    [String(weight)],
    [count(connections)],
    [bytesPerSecond(currentRate(bytesOf))],
    meanDial(status, oldest),
  ];

  const cells = [...row.children];
  texts.forEach(([text, note = ""], i) => {
    setText(cells[i].firstChild, text);
    setText(cells[i].lastChild, note);
  });
  cells[1].firstChild.className = `${state} ${LEVELS[state]}`;

  const connectionPoints = gauges(samples, ({ byAddress }) => byAddress.get(address)?.connections);
  const bytePoints = rates(samples, bytesOf);
  const [mostConnections, mostBytes] = [maxOf([connectionPoints]), maxOf([bytePoints])];
  const [connectionPlot, bytePlot] = cells.slice(-2).map((cell) => cell.firstChild);
  draw(
    connectionPlot,
    [connectionPoints],
    roundUp(mostConnections, 10),
    `at most ${count(mostConnections)}`,
  );
  draw(bytePlot, [bytePoints], roundUp(mostBytes, 1024), `at most ${bytesPerSecond(mostBytes)}`);
}

/**
 * Returns the mean duration of successful dials and a note. Covers the dials since
 * the sample `oldest`, or all dials if there were none since.
 */
function meanDial({ dials, dialTimes }, oldest) {
  const { connected, overtaken, abandoned, ...failed } = dials;
  const isRecent = connected > oldest.dials;
  const n = isRecent ? connected - oldest.dials : connected;
  const seconds = dialTimes.sumSeconds - (isRecent ? oldest.dialSeconds : 0);
  const notes = [
    n > 0 && `of ${count(n)} ${isRecent ? "in 10 min" : "since startup"}`,
    listCounts(failed),
  ];
  return [n > 0 ? shortDuration(seconds / n) : NONE, notes.filter(Boolean).join("; ")];
}
