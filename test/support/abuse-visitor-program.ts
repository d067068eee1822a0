// The client that is served while others abuse the gateway: `bun
// abuse-visitor-program.ts HOST PORT` comes every 50 ms until SIGTERM, and prints
// a line for each visit: "served", or what went wrong.
import { Peer, until } from "./peer.ts";

const EVERY_MS = 50;
const REQUEST_BYTES = 4096;
// Behind a crowd that comes at once he waits for seconds: he must not fill by
// himself the room that the crowd leaves.
const MAX_OPEN = 30;
// A SYN that a burst crowds out is sent again after 1, 2, 3, 4 and 6 seconds.
const PATIENCE_MS = 20_000;

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

/** A question with its whole answer, and a clean end. */
async function visit(): Promise<void> {
  const late = Bun.sleep(PATIENCE_MS).then(() => Promise.reject(new Error("not connected")));
  const client = await Promise.race([Peer.connect(+port, host), late]);
  try {
    await client.send(REQUEST_BYTES);
    const isAnswered = () => client.receivedBytes === REQUEST_BYTES;
    const isDecided = () => isAnswered() || client.outcome !== undefined;
    await until(isDecided, "the answer was whole", PATIENCE_MS);
    if (!isAnswered()) throw new Error(`cut after ${client.receivedBytes}: ${client.outcome}`);
    if (client.firstWrongByte !== undefined) throw new Error(`wrong: ${client.firstWrongByte}`);
    client.shutdown();
    await until(() => client.outcome !== undefined, "the end came", PATIENCE_MS);
    if (client.outcome !== "end") throw new Error(`the end was ${client.outcome}`);
  } finally {
    client.reset();
  }
}
