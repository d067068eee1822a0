// The echo servers of the abuse tests: `bun abuse-echo-program.ts HOST,HOST,... PORT`
// listens on one port of each address, and prints the port. A peer that sends "flood"
// receives an endless stream.
const [hosts, port] = process.argv.slice(2) as [string, string];

const BLOCK = Buffer.alloc(64 * 1024);

interface Peer {
  isFlooded: boolean;
  /** Bytes still to be sent; with many deaf peers the kernel may lack memory for a few KiB. */
  unsent: Uint8Array;
}

function send(peer: Bun.Socket<Peer>): void {
  const { data } = peer;
  const written = peer.write(data.unsent);
  if (written > 0) data.unsent = data.unsent.subarray(written);
  while (data.isFlooded && peer.write(BLOCK) === BLOCK.length);
}

const socket: Bun.SocketHandler<Peer> = {
  open(peer) {
    peer.data = { isFlooded: false, unsent: Buffer.alloc(0) };
  },
  drain: send,
  data(peer, chunk) {
    if (chunk.toString() === "flood") peer.data.isFlooded = true;
    else peer.data.unsent = Buffer.concat([peer.data.unsent, chunk]);
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
      // A port that is free at one address may be taken at another.
      for (const listener of listeners) listener.stop();
      if (attempt === 5) throw error;
    }
  }
}

export {};
