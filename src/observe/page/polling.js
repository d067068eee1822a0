// Asks the gateway every two seconds, and says so when it does not answer.

const ASK_MS = 2000;
const PATIENCE_MS = 3000;

let lastStatus; // undefined: none yet
let lastSample;
let heardAt = new Date(); // before the first answer: when this page was sent
let isAsking = false;
let timer;

function announce(text, level) {
  write(byId("state"), text);
  byId("state").className = level;
}

function show(status) {
  const { gateway, process } = status;
  // Another version may tell other things, and has a page that knows them.
  if (lastStatus !== undefined && lastStatus.process.version !== process.version)
    return location.reload();
  const samples = samplesOf(status);
  const two = latestTwo(lastSample, samples);
  const now = (valueOf) => rates(two, valueOf)[0]?.value;
  if (gateway.draining) announce("draining", "warn");
  else if (gateway.endpoints.some(({ up }) => up)) announce("serving", "ok");
  else announce("no endpoint is up", "bad");
  const uptime = duration(gateway.uptimeMs);
  write(byId("sub"), `${gateway.listen} · version ${process.version} · up for ${uptime}`);
  document.title = `${byId("state").textContent} · etcd-gateway ${gateway.listen}`;
  figures(status, now);
  plots(samples);
  endpoints(status, samples, now);
  tables(status);
  events(status.events);
  byId("lost").hidden = true;
  document.body.classList.remove("stale");
  lastStatus = status;
  lastSample = samples.at(-1);
  heardAt = new Date();
}

function lose(why) {
  announce("lost contact", "bad");
  const ago = duration(Date.now() - heardAt);
  const history = lastStatus === undefined ? "" : "What is below was so then. ";
  write(
    byId("lost"),
    `No contact since ${clock(heardAt)} UTC, ${ago} ago: ${why}. ${history}This page goes on asking.`,
  );
  byId("lost").hidden = false;
  document.body.classList.add("stale");
  document.title = "lost contact · etcd-gateway";
}

async function ask() {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const response = await fetch("./status", { cache: "no-store", signal }).catch((error) => {
    throw error.name === "TimeoutError" ? error : new Error("it cannot be reached");
  });
  if (!response.ok) throw new Error(`it answered ${response.status}`);
  return await response.json();
}

async function round() {
  if (isAsking || document.hidden) return;
  isAsking = true;
  clearTimeout(timer);
  const startedAt = performance.now();
  try {
    show(await ask());
  } catch ({ name, message }) {
    lose(name === "TimeoutError" ? `no answer within ${PATIENCE_MS / 1000} seconds` : message);
  }
  isAsking = false;
  timer = setTimeout(round, Math.max(0, ASK_MS - (performance.now() - startedAt)));
}

// A hidden page asks nothing, and at once when it is seen again.
document.addEventListener("visibilitychange", round);
round();
