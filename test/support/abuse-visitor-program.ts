// The client that must be served while others abuse the gateway: `bun
// abuse-visitor-program.ts HOST PORT` connects every 50 ms until SIGTERM, and prints a
// line for each visit: "served", or what went wrong.
import { Peer, until } from "./peer.ts";

const EVERY_MS = 50;
const REQUEST_BYTES = 4096;
// The most visits at a time. During a burst of clients a visit takes seconds, and the
// visits must not use up the connections that the crowd leaves free.
const MAX_OPEN = 30;
// A SYN that is dropped during a burst is sent again after 1, 2, 3, 4 and 6 seconds.
const TIMEOUT_MS = 20_000;

const [host, port] = process.argv.slice(2) as [string, string];
const visits = new Set<Promise<void>>();

const timer = setInterval(() => {
  if (visits.size >= MAX_OPEN) return;
  const visited = visit().then(
    () => console.log("served"),
    (error) => console.log(String(error)),
  );
  visits.add(visited);
  void visited.then(() => visits.delete(visited));
}, EVERY_MS);

process.on("SIGTERM", async () => {
  clearInterval(timer);
  await Promise.all(visits);
  process.exit();
});

/** Sends a request; rejects unless the complete response and a FIN come back. */
async function visit(): Promise<void> {
  const timeout = Bun.sleep(TIMEOUT_MS).then(() => Promise.reject(new Error("not connected")));
  const client = await Promise.race([Peer.connect(+port, host), timeout]);

  try {
    await client.send(REQUEST_BYTES);
    const isComplete = () => client.receivedBytes === REQUEST_BYTES;
    const isSettled = () => isComplete() || client.outcome !== undefined;
    await until(isSettled, "the response was complete", TIMEOUT_MS);
    if (!isComplete())
      throw new Error(`incomplete after ${client.receivedBytes} bytes: ${client.outcome}`);
    if (client.firstWrongByte !== undefined)
      throw new Error(`wrong bytes from offset ${client.firstWrongByte}`);

    client.shutdown();
    await until(() => client.outcome !== undefined, "the connection ended", TIMEOUT_MS);
    if (client.outcome !== "end") throw new Error(`the end was ${client.outcome}`);
  } finally {
    client.reset();
  }
}
