// Polls /status every two seconds and updates the page, or shows why it cannot.

const POLL_MS = 2000;
const TIMEOUT_MS = 3000;

let lastStatus; // undefined before the first response
let lastSample;
let lastResponseAt = new Date(); // before the first response: when the page was loaded
let isPolling = false;
let timer;

function setState(text, level) {
  setText(byId("state"), text);
  byId("state").className = level;
}

function render(status) {
  const { gateway, process } = status;
  // Another version may have a different /status, and comes with its own page.
  if (lastStatus !== undefined && lastStatus.process.version !== process.version)
    return location.reload();

  const samples = samplesOf(status);
  const lastTwo = latestTwo(lastSample, samples);
  const currentRate = (valueOf) => rates(lastTwo, valueOf)[0]?.value;

  if (gateway.draining) setState("draining", "warn");
  else if (gateway.endpoints.some(({ up }) => up)) setState("serving", "ok");
  else setState("no endpoint is up", "bad");
  const uptime = duration(gateway.uptimeMs);
  setText(byId("sub"), `${gateway.listen} · version ${process.version} · up for ${uptime}`);
  document.title = `${byId("state").textContent} · etcd-gateway ${gateway.listen}`;

  renderFigures(status, currentRate);
  renderPlots(samples);
  renderCalls(status, currentRate);
  renderEndpoints(status, samples, currentRate);
  renderTables(status);
  renderEvents(status.events);
  byId("lost").hidden = true;
  document.body.classList.remove("stale");

  lastStatus = status;
  lastSample = samples.at(-1);
  lastResponseAt = new Date();
}

function renderDisconnected(reason) {
  setState("disconnected", "bad");
  const ago = duration(Date.now() - lastResponseAt);
  const history = lastStatus === undefined ? "" : "The data below is from that time. ";
  setText(
    byId("lost"),
    `No response since ${timeOfDay(lastResponseAt)} UTC, ${ago} ago: ${reason}. ${history}Still retrying.`,
  );
  byId("lost").hidden = false;
  document.body.classList.add("stale");
  document.title = "disconnected · etcd-gateway";
}

async function fetchStatus() {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch("./status", { cache: "no-store", signal }).catch((error) => {
    throw error.name === "TimeoutError" ? error : new Error("cannot connect to the gateway");
  });
  if (!response.ok) throw new Error(`the gateway returned HTTP ${response.status}`);
  return await response.json();
}

async function poll() {
  if (isPolling || document.hidden) return;
  isPolling = true;
  clearTimeout(timer);
  const startedAt = performance.now();

  try {
    render(await fetchStatus());
  } catch ({ name, message }) {
    renderDisconnected(
      name === "TimeoutError" ? `no response within ${TIMEOUT_MS / 1000} seconds` : message,
    );
  }

  isPolling = false;
  timer = setTimeout(poll, Math.max(0, POLL_MS - (performance.now() - startedAt)));
}

// A hidden page does not poll. It polls at once when it becomes visible again.
document.addEventListener("visibilitychange", poll);
poll();
