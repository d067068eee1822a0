// One end of the bulk benchmark: `bun bulk-program.ts sink|source PORT [CONNECTIONS
// BYTES]`. In a process of its own, so that the ends do not limit the throughput.
const [role, portText, connections, bytes] = process.argv.slice(2);
const port = Number(portText);
const BLOCK = Buffer.alloc(1 << 20);
// A shorter chunk is a small request, which the sink sends back.
const SMALL_BYTES = 100;

if (role === "sink") {
  Bun.listen({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    socket: {
      data: (socket, chunk) => void (chunk.length < SMALL_BYTES && socket.write(chunk)),
      end: (socket) => void socket.shutdown(),
    },
  });
} else {
  const share = Number(bytes) / Number(connections);
  for (let i = 0; i < Number(connections); i++) void send(share);
}

/** Sends `length` bytes; resolves once the sink has read them all. */
async function send(length: number): Promise<void> {
  const { promise: read, resolve } = Promise.withResolvers<void>();
  let left = length;
  const flush = (socket: Bun.Socket) => {
    while (left > 0) {
      const block = BLOCK.subarray(0, Math.min(left, BLOCK.length));
      const written = socket.write(block);
      left -= written;
      if (written < block.length) return;
    }
    socket.shutdown();
  };

  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    socket: { open: flush, drain: flush, data() {}, end: () => resolve(), close: () => resolve() },
  });
  await read;
}
