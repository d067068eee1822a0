// The figures of the whole gateway, and the small tables below the endpoints.

/**
 * Returns a name, a figure, a note and whether to highlight the figure, for each.
 * `currentRate` computes the current rate of a counter.
 */
function figuresOf({ gateway, process }, currentRate) {
  const { active, accepted, relayed, refused, maxConnections } = gateway;
  const { openDescriptors, maxDescriptors, eventLoopDelaySeconds } = process;
  const cpu = currentRate(({ cpuSeconds }) => cpuSeconds);
  const acceptRate = perSecond(currentRate((sample) => sample.accepted));
  const toServers = bytesPerSecond(currentRate(({ bytesToServers }) => bytesToServers));
  const toClients = bytesPerSecond(currentRate(({ bytesToClients }) => bytesToClients));
  return [
    ["Clients", count(active), ...limitNote(active, maxConnections)],
    ["Accepted", count(accepted), acceptRate + relayedNote(relayed)],
    ["Refused", count(sum(refused)), listCounts(refused), sum(refused) > 0],
    ["To servers", toServers, `${size(gateway.bytesToServers)} total`],
    ["To clients", toClients, `${size(gateway.bytesToClients)} total`],
    ["Buffered", size(gateway.heldBytes), "for slow readers"],
    ["CPU", cpu === undefined ? NONE : `${(cpu * 100).toFixed(1)} %`, "of one core"],
    ["Memory", size(process.residentBytes), "resident"],
    ["Descriptors", count(openDescriptors), ...limitNote(openDescriptors, maxDescriptors)],
    [
      "Event loop delay",
      shortDuration(eventLoopDelaySeconds),
      "longest in 10 s",
      eventLoopDelaySeconds >= 0.25,
    ],
  ];
}

/** Only the L4 gateway relays. */
function relayedNote(relayed) {
  return relayed === undefined ? "" : `; ${count(relayed)} relayed`;
}

/** Returns a note with the limit of a figure, and whether the figure is near it. */
function limitNote(value, limit) {
  const isNear = value >= 0.9 * limit;
  return [`of at most ${count(limit)}${isNear ? ": nearly full" : ""}`, isNear];
}

function renderFigures(status, currentRate) {
  fillFigures(byId("figures"), figuresOf(status, currentRate));
}

/** Fills a `dl` with a list of what `figuresOf` returns. */
function fillFigures(parent, list) {
  const create = () =>
    element("div", {}, [element("dt"), element("dd", {}, [element("span"), element("small")])]);

  resizeChildren(parent, list.length, create).forEach((node, i) => {
    const [name, figure, note, isHighlighted] = list[i];
    const [text, small] = node.lastChild.children;
    setText(node.firstChild, name);
    setText(text, figure);
    text.className = isHighlighted ? "warn" : "";
    setText(small, note);
  });
}

function renderTables({ gateway, config }) {
  const { ended = {}, discovery } = gateway;
  byId("relays").hidden = gateway.ended === undefined;
  const causes = Object.entries(ended)
    .filter(([, n]) => n > 0)
    .toSorted(([, a], [, b]) => b - a)
    .map(([cause, n]) => [spaced(cause), count(n), `${((100 * n) / sum(ended)).toFixed(1)} %`]);
  fillTable(byId("ended"), causes.length > 0 ? causes : [["none yet", "", ""]], [1, 2]);

  const sources = discovery.map(({ source, refreshes, failures, ageMs }) => [
    source,
    count(refreshes),
    count(failures),
    ageMs === null ? "never" : `${duration(ageMs)} ago`,
  ]);
  const off = ["off: the endpoints are static", "", "", ""];
  fillTable(byId("discovery"), sources.length > 0 ? sources : [off], [1, 2, 3]);

  const flags = Object.entries(config).map(([flag, value]) => [`--${flag}`, value]);
  fillTable(byId("config"), flags);
}
