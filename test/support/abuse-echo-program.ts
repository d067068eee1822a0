// The servers of the tests of abuse: `bun abuse-echo-program.ts HOST,HOST,... PORT`
// sends back what it receives, at one port of each address; prints the port. Who
// says "flood" is sent bytes without end.
const [hosts, port] = process.argv.slice(2) as [string, string];

const BLOCK = Buffer.alloc(64 * 1024);

const flood = (peer: Bun.Socket<boolean>) => {
  while (peer.write(BLOCK) === BLOCK.length);
};

const socket: Bun.SocketHandler<boolean> = {
  open(peer) {
    peer.data = false;
  },
  drain(peer) {
    if (peer.data) flood(peer);
  },
  data(peer, chunk) {
    if (chunk.toString() === "flood") {
      peer.data = true;
      flood(peer);
      return;
    }
    // A few KiB at most until the next question: the kernel always has room for them.
    if (peer.write(chunk) < chunk.length) peer.terminate();
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
