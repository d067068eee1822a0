// Flags and variables of the compiled gateway, compared with etcd's own gateway: rows of docs/migration.md, and
// behaviours that must be the same.
import { expect, setDefaultTimeout } from "bun:test";
import {
  closers,
  compareGateways,
  greet,
  launch,
  serve,
  startWith,
} from "../support/both-gateways.ts";
import { freePort } from "../support/free-port.ts";
import { requireTool } from "../support/gateway-command.ts";
import { gatewayBinary, type GatewayKind, GatewayProcess } from "../support/gateway-process.ts";
import { Peer } from "../support/peer.ts";

setDefaultTimeout(60_000);

compareGateways([
  {
    name: "--retry-delay=0",
    ours: "rejected, and named",
    etcd: "accepted",
    run: (kind) => resultOfStart(kind, ["--retry-delay=0"], "--retry-delay"),
  },
  {
    name: "--endpoints=127.0.0.1:99999",
    ours: "rejected, and named",
    etcd: "accepted as 127.0.0.1:0",
    run: (kind) => resultOfStart(kind, ["--endpoints=127.0.0.1:99999"], "--endpoints"),
  },
  {
    name: "--endpoints=127.0.0.1 (no port)",
    ours: "rejected, and named",
    etcd: "rejected",
    run: (kind) => resultOfStart(kind, ["--endpoints=127.0.0.1"], "--endpoints"),
  },
  {
    name: "--retry-delay=123 (no unit)",
    ours: "rejected, and named",
    etcd: "rejected, and named",
    run: (kind) => resultOfStart(kind, ["--retry-delay=123"], "--retry-delay"),
  },
  {
    name: "an endpoint that is the gateway itself",
    ours: "rejected, and named",
    etcd: "rejected",
    run(kind) {
      const address = `127.0.0.1:${freePort()}`;
      const flags = [`--listen-addr=${address}`, `--endpoints=${address}`];
      return resultOfStart(kind, flags, "--endpoints");
    },
  },
  {
    name: "the error for an endpoint without a port",
    ours: "on standard error, exit status 2",
    etcd: "on standard output, exit status 1",
    async run(kind) {
      const { status, stdout, stderr } = await launch(kind, ["--endpoints=nohost"]);
      const streams = [
        stdout.includes("nohost") ? "output" : "",
        stderr.includes("nohost") ? "error" : "",
      ];
      return `on standard ${streams.filter(Boolean).join(" and ")}, exit status ${status}`;
    },
  },
  {
    name: "endpoints in an environment variable",
    ours: "used",
    etcd: "ignored",
    async run(kind) {
      const env = { ETCD_GATEWAY_ENDPOINTS: "127.0.0.1:1", ETCD_ENDPOINTS: "127.0.0.1:1" };
      const gateway = await startWith(kind, [], { env });
      const [ready] = gateway.lines("ready to proxy client requests");
      return (ready!["endpoints"] as string[])[0] === "127.0.0.1:1" ? "used" : "ignored";
    },
  },
  {
    name: "--listen-addr=0.0.0.0:PORT",
    ours: "accepts IPv4",
    etcd: "accepts IPv4 and IPv6",
    async run(kind) {
      const port = freePort();
      const endpoint = `--endpoints=127.0.0.1:${serve(greet).port}`;
      await startWith(kind, [endpoint, `--listen-addr=0.0.0.0:${port}`]);
      const reaches = (address: string) =>
        Peer.connect(port, address).then(
          (peer) => (peer.reset(), true),
          () => false,
        );
      const families = [(await reaches("127.0.0.1")) && "IPv4", (await reaches("::1")) && "IPv6"];
      return `accepts ${families.filter(Boolean).join(" and ")}`;
    },
  },
  {
    name: "flags before the subcommand, --endpoints twice, with a scheme",
    ours: "127.0.0.1:1,127.0.0.1:2",
    etcd: "127.0.0.1:1,127.0.0.1:2",
    async run(kind) {
      const program = kind === "ours" ? gatewayBinary() : requireTool("etcd");
      const flags = ["--endpoints=http://127.0.0.1:1", "--endpoints=127.0.0.1:2"];
      const listen = `--listen-addr=127.0.0.1:${freePort()}`;
      const words = [program, "gateway", ...flags, listen, "start"];
      const gateway = closers.add(new GatewayProcess(words));
      return String((await gateway.logged("ready to proxy client requests"))["endpoints"]);
    },
  },
]);

/** Resolves with how a gateway takes `flags`; `name` is the flag that its error should name. */
async function resultOfStart(kind: GatewayKind, flags: string[], name: string): Promise<string> {
  const { status, stdout, stderr, log } = await launch(kind, flags);
  if (status !== undefined) {
    expect(status).not.toBe(0);
    const [line] = (stderr + stdout).split("\n");
    return line!.includes(name) ? "rejected, and named" : "rejected";
  }
  const given = flags.find((flag) => flag.startsWith("--endpoints="))?.split("=")[1];
  const endpoints = String(log.find(({ msg }) => msg.startsWith("ready to"))!["endpoints"]);
  return given === undefined || given === endpoints ? "accepted" : `accepted as ${endpoints}`;
}
