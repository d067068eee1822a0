// The clients of the gRPC proxy's benchmark, in a process of their own:
//   bun crowd-program.ts PORT CONNECTIONS STREAMS
// opens connections and on each of them streams, with one watch of the same key each. It
// prints a line when all are open. For each line "ETCD_PORT EVENTS" on its input it puts the
// key at etcd, and prints the number of events that the watches got.
import { Connection } from "../../src/http2/connection.ts";
import type { Stream, StreamListener } from "../../src/http2/stream.ts";
import { systemClock } from "../../src/os/clock.ts";
import { Message } from "../../src/protobuf/message.ts";
import { KV, Watch, type AnyRpc } from "../support/etcd-rpcs.ts";
import { framed, MessageReader } from "../support/grpc-client.ts";

const KEY = "watched";
// Of a WatchResponse.
const EVENTS_FIELD = 11;
const VALUE_BYTES = 256;
// Connections, watches or puts that are begun at the same time.
const CONCURRENT = 20;
// Silence after which the rest of the events counts as lost.
const SILENCE_MS = 2000;

const [port, connections, streams] = process.argv.slice(2).map(Number) as [number, number, number];

let watches = 0;
let events = 0;

/** Opens a connection; resolves when the server's SETTINGS have arrived. */
function connect(to: number): Promise<Connection> {
  const { promise, resolve } = Promise.withResolvers<Connection>();
  const fail = (what: string) => {
    console.log(what);
    process.exit(1);
  };
  const connection = new Connection(
    {
      role: "client",
      clock: systemClock,
      buffered: { add() {}, mayGrow: true },
      maxConcurrentStreams: 0,
      minPingMs: 0,
    },
    {
      ready: () => resolve(connection),
      request: () => fail("the server opened a stream"),
      goneAway: () => fail("GOAWAY"),
      emptied() {},
      closed: fail,
      released() {},
      faulted: (error) => fail(String(error)),
    },
  );
  void Bun.connect({
    hostname: "127.0.0.1",
    port: to,
    allowHalfOpen: true,
    socket: {
      binaryType: "uint8array",
      open: (socket) => connection.opened(socket as never),
      data: (_, chunk) => connection.received(chunk as unknown as Uint8Array),
      drain: () => connection.writable(),
      end: () => connection.ended(),
      close: () => connection.closed(undefined),
    },
  });
  return promise;
}

/** Opens a call and sends one message. `answered` is called with each message of the response. */
function call(
  connection: Connection,
  rpc: AnyRpc,
  request: object,
  answered: (message: Uint8Array) => void,
): Stream {
  const reader = new MessageReader(({ bytes }) => answered(bytes));
  const listener: StreamListener = {
    headers() {},
    data(chunk) {
      reader.take(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
      stream.consumed(chunk.length);
    },
    sent() {},
    closed() {},
  };
  const list = [
    ...[":method", "POST", ":scheme", "http", ":path", rpc.path, ":authority", "127.0.0.1"],
    ...["content-type", "application/grpc", "te", "trailers"],
  ];
  const stream = connection.open(list, false, listener);
  stream.write(framed(rpc.request.encode(request), false));
  return stream;
}

/** Opens a watch; resolves when etcd has created it. */
function watch(connection: Connection): Promise<void> {
  return new Promise((resolve) => {
    call(connection, Watch.Watch, { create: { key: KEY } }, (message) => {
      events += new Message(message).all(EVENTS_FIELD).length;
      resolve(); // at the first answer, which says that the watch is created
    });
  });
}

/** Runs `task` `count` times, at most `CONCURRENT` at the same time. */
async function repeat(count: number, task: () => Promise<void>): Promise<void> {
  let left = count;
  const next = async (): Promise<void> => {
    while (left-- > 0) await task();
  };
  await Promise.all(Array.from({ length: CONCURRENT }, next));
}

async function open(): Promise<void> {
  await repeat(connections, async () => {
    const connection = await connect(port);
    await repeat(streams, () => watch(connection));
    watches += streams;
  });
}

/** Puts the key `count` times; resolves when all puts are answered. */
async function put(to: number, count: number): Promise<void> {
  const connection = await connect(to);
  const request = { key: KEY, value: "x".repeat(VALUE_BYTES) };
  await repeat(
    count,
    () =>
      new Promise((resolve) => {
        call(connection, KV.Put, request, () => resolve()).end();
      }),
  );
}

async function broadcast(to: number, count: number): Promise<void> {
  events = 0;
  await put(to, count);
  let last = -1;
  for (let silent = 0; events < count * watches && silent < SILENCE_MS; silent += 50) {
    if (events > last) silent = 0;
    last = events;
    await Bun.sleep(50);
  }
}

await open();
console.log("open");
for await (const line of console) {
  const [to, count] = line.split(" ").map(Number) as [number, number];
  await broadcast(to, count);
  console.log(events);
}
