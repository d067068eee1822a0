// A zone with SRV records, the DNS server that has it, a gateway that follows it, and
// greeters that show which endpoint was reached.
import { DnsServer, type SrvLine, type Zone } from "./dns-server.ts";
import { Closers } from "./gateway-command.ts";
import { GatewayProcess, type LogLine } from "./gateway-process.ts";
import { greetersOn } from "./greeters.ts";
import { until } from "./peer.ts";

/** The name of the SRV records. */
export const SERVICE = "_etcd-client._tcp.a.test";

export type Rank = Pick<SrvLine, "priority" | "weight"> & { readonly port?: number };

/**
 * Creates a scene, with greeters at 127.0.0.1 to 127.0.0.4 and at ::1. Call its `close` in
 * the test file's afterEach, and `closeGreeters` in its afterAll.
 */
export function createSrvScene() {
  const greeters = new Closers();
  const closers = new Closers();
  const port = greetersOn(greeters, "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "::1");

  const record = (target: string, rank: Rank = {}): SrvLine => ({
    name: SERVICE,
    target,
    port,
    ...rank,
  });
  /** Returns a zone with one record, whose target has these addresses. */
  const zoneAt = (...addresses: string[]): Zone => ({
    srv: [record("m.a.test", { priority: 1, weight: 5 })],
    hosts: { "m.a.test": addresses },
  });
  /** Returns a zone with one record for each rank; the targets are 127.0.0.1, 127.0.0.2, ... */
  const zoneOf = (...ranks: Rank[]): Zone => ({
    srv: ranks.map((rank, i) => record(`m${i + 1}.a.test`, rank)),
    hosts: Object.fromEntries(ranks.map((_, i) => [`m${i + 1}.a.test`, [`127.0.0.${i + 1}`]])),
  });

  /** Starts a DNS server and a gateway that refreshes its SRV records every 100 ms. */
  async function start(zone: Zone, flags: readonly string[] = []) {
    const dns = closers.add(await DnsServer.start(zone));
    const gateway = closers.add(
      await GatewayProcess.start([
        "--discovery-srv=a.test",
        `--discovery-servers=${dns.address}`,
        "--insecure-discovery",
        "--discovery-refresh-interval=100ms",
        "--retry-delay=100ms",
        ...flags,
      ]),
    );
    /** Changes the zone, and waits until the gateway has looked it up twice. */
    const change = async (changed: Zone) => {
      await dns.change(changed);
      const lookups = () =>
        dns.questions.filter((question) => question === `SRV ${SERVICE}`).length;
      const before = lookups();
      await until(() => lookups() >= before + 2, "the zone was looked up twice");
    };
    const linesOf = (message: string): LogLine[] => gateway.lines(message);
    return { dns, gateway, change, linesOf };
  }

  return {
    closers,
    close: () => closers.close(),
    closeGreeters: () => greeters.close(),
    /** The port of the greeters. */
    port,
    record,
    zoneAt,
    zoneOf,
    start,
  };
}
