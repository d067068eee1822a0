// The servers of tests that resolve names by the compiled gateway: DNS servers, correct and
// broken, at port 53 of loopback addresses, files of the resolver mounted by the test, and
// greeters that show which address was reached. Needs root.
import { BrokenDns, type Faults } from "./broken-dns.ts";
import { DnsServer, type Zone } from "./dns-server.ts";
import { Closers } from "./gateway-command.ts";
import { type Elsewhere, Hosts } from "./gateway-hosts.ts";
import { gatewayBinary, type GatewayKind, GatewayProcess } from "./gateway-process.ts";
import { greetersOn } from "./greeters.ts";

/** A timeout for one step of a test: the resolver needs up to 20 s for two silent servers. */
export const TIMEOUT_MS = 60_000;

/** The addresses of the names of `endpoints`. */
export const NAMES = { "m1.a.test": ["127.0.0.1"], "m2.a.test": ["127.0.0.2"] };

/**
 * Creates a scene, with greeters at 127.0.0.1 to 127.0.0.3. Call its `close` in the test
 * file's afterEach, and `closeGreeters` in its afterAll.
 */
export function createDnsScene() {
  const greeters = new Closers();
  const closers = new Closers();
  const port = greetersOn(greeters, "127.0.0.1", "127.0.0.2", "127.0.0.3");

  /** Starts a server at port 53 of a random loopback address; retries if another run uses it. */
  async function onPort53<T extends { close(): unknown }>(
    start: (host: string) => Promise<T>,
  ): Promise<{ server: T; host: string }> {
    const byte = () => 1 + Math.floor(Math.random() * 250);
    for (let attempt = 1; ; attempt++) {
      const host = `127.53.${byte()}.${byte()}`;
      try {
        return { server: closers.add(await start(host)), host };
      } catch (error) {
        if (attempt === 5) throw error;
      }
    }
  }

  return {
    closers,
    close: () => closers.close(),
    closeGreeters: () => greeters.close(),
    /** The port of the greeters. */
    port,
    /** The flag for two endpoints with the names of NAMES. */
    endpoints: `--endpoints=m1.a.test:${port},m2.a.test:${port}`,

    startDns: (zone: Zone) => onPort53((host) => DnsServer.start(zone, host, 53)),

    startBrokenDns: (faults: Faults, upstream?: DnsServer) =>
      onPort53((host) => BrokenDns.start(faults, 53, { host, ...(upstream && { upstream }) })),

    createHosts: async (elsewhere: Elsewhere, hosts = "") =>
      closers.add(await Hosts.create(hosts, elsewhere)),

    launch: async (kind: GatewayKind, flags: readonly string[], { wrapper }: Hosts) =>
      closers.add(await GatewayProcess.launch(kind, flags, { wrapper })),

    /** Starts our gateway and returns before it is ready. */
    startEarly(flags: readonly string[], { wrapper }: Hosts): GatewayProcess {
      const words = [gatewayBinary(), "start", "--listen-addr=127.0.0.1:0", ...flags];
      return closers.add(new GatewayProcess(words, { wrapper }));
    },
  };
}
