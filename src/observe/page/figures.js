// The figures of the gateway as a whole, and the small tables about it.

/** Name, figure, note, and true if it deserves attention. `now` gives rates. */
function figuresOf({ gateway, process }, now) {
  const { active, accepted, relayed, refused, maxConnections } = gateway;
  const { openDescriptors, maxDescriptors, eventLoopDelaySeconds } = process;
  const cpu = now(({ cpuSeconds }) => cpuSeconds);
  const rate = perSecond(now((sample) => sample.accepted));
  const toServers = speed(now(({ bytesToServers }) => bytesToServers));
  const toClients = speed(now(({ bytesToClients }) => bytesToClients));
  return [
    ["Clients", count(active), ...limit(active, maxConnections)],
    ["Accepted", count(accepted), `${rate}; ${count(relayed)} relayed`],
    ["Refused", count(sum(refused)), some(refused), sum(refused) > 0],
    ["To servers", toServers, `${size(gateway.bytesToServers)} in all`],
    ["To clients", toClients, `${size(gateway.bytesToClients)} in all`],
    ["Held", size(gateway.heldBytes), "for peers that do not read"],
    ["CPU", cpu === undefined ? NONE : `${(cpu * 100).toFixed(1)} %`, "of one core"],
    ["Memory", size(process.residentBytes), "resident"],
    ["Descriptors", count(openDescriptors), ...limit(openDescriptors, maxDescriptors)],
    [
      "Event loop delay",
      brief(eventLoopDelaySeconds),
      "longest in ten seconds",
      eventLoopDelaySeconds >= 0.25,
    ],
  ];
}

/** The note to a figure that must not reach `whole`, and whether it nearly does. */
function limit(part, whole) {
  const isNear = part >= 0.9 * whole;
  return [`of at most ${count(whole)}${isNear ? ": nearly full" : ""}`, isNear];
}

function figures(status, now) {
  const list = figuresOf(status, now);
  const create = () =>
    element("div", {}, [element("dt"), element("dd", {}, [element("span"), element("small")])]);
  fit(byId("figures"), list.length, create).forEach((node, i) => {
    const [name, figure, note, isNews] = list[i];
    const [text, small] = node.lastChild.children;
    write(node.firstChild, name);
    write(text, figure);
    text.className = isNews ? "warn" : "";
    write(small, note);
  });
}

function tables({ gateway, config }) {
  const { ended, discovery } = gateway;
  const causes = Object.entries(ended)
    .filter(([, n]) => n > 0)
    .toSorted(([, a], [, b]) => b - a)
    .map(([cause, n]) => [words(cause), count(n), `${((100 * n) / sum(ended)).toFixed(1)} %`]);
  rows(byId("ended"), causes.length > 0 ? causes : [["none yet", "", ""]], [1, 2]);
  const sources = discovery.map(({ source, refreshes, failures, ageMs }) => [
    source,
    count(refreshes),
    count(failures),
    ageMs === null ? "never yet" : `${duration(ageMs)} ago`,
  ]);
  const fixed = ["endpoints are fixed: there is nothing to discover", "", "", ""];
  rows(byId("discovery"), sources.length > 0 ? sources : [fixed], [1, 2, 3]);
  const flags = Object.entries(config).map(([flag, value]) => [`--${flag}`, value]);
  rows(byId("config"), flags);
}
