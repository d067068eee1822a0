// The servers of the tests of abuse: `bun abuse-echo-program.ts HOST,HOST,... PORT`
// sends back what it receives, at one port of each address; prints the port. Who
// says "flood" is sent bytes without end.
const [hosts, port] = process.argv.slice(2) as [string, string];

const BLOCK = Buffer.alloc(64 * 1024);

interface Peer {
  isFlooded: boolean;
  /** What is owed to it: where many do not read, the kernel may have no room for a few KiB. */
  owed: Uint8Array;
}

function send(peer: Bun.Socket<Peer>): void {
  const { data } = peer;
  const written = peer.write(data.owed);
  if (written > 0) data.owed = data.owed.subarray(written);
  while (data.isFlooded && peer.write(BLOCK) === BLOCK.length);
}

const socket: Bun.SocketHandler<Peer> = {
  open(peer) {
    peer.data = { isFlooded: false, owed: Buffer.alloc(0) };
  },
  drain: send,
  data(peer, chunk) {
    if (chunk.toString() === "flood") peer.data.isFlooded = true;
    else peer.data.owed = Buffer.concat([peer.data.owed, chunk]);
    send(peer);
  },
  end: (peer) => void peer.shutdown(),
};

console.log(listen(hosts.split(",")));

function listen([first, ...others]: string[]): number {
  for (let attempt = 1; ; attempt++) {
    const listeners = [Bun.listen({ hostname: first!, port: +port, allowHalfOpen: true, socket })];
    const chosen = listeners[0]!.port;
    try {
      for (const hostname of others)
        listeners.push(Bun.listen({ hostname, port: chosen, allowHalfOpen: true, socket }));
      return chosen;
    } catch (error) {
      // What is free at one address may be taken at another.
      for (const listener of listeners) listener.stop();
      if (attempt === 5) throw error;
    }
  }
}

export {};
