// `grpc-proxy check`: tries out what `grpc-proxy start` would do.
import type { Command } from "../cli/command.ts";
import { type ConfigSource, loadConfig } from "../cli/load-config.ts";
import type { Output } from "../cli/output.ts";
import type { GrpcProxyConfig } from "../core/grpc-proxy-config.ts";
import { createLog } from "../observe/log.ts";
import { systemClock } from "../os/clock.ts";
import * as system from "../os/tcp.ts";
import { checkConfig, type CheckReport } from "../resolver/cluster-check.ts";
import type { Network } from "../resolver/cluster-io.ts";
import { printReport } from "./check-report.ts";
import { FLAG_RULES, WRONG_INPUT } from "./config-text.ts";
import { proxyConfig } from "./grpc-proxy-config-provider.ts";
import { grpcProxyFlags } from "./grpc-proxy-flags.ts";
import { TLS_FLAGS } from "./grpc-proxy.ts";
import { createNetwork } from "./network.ts";
import { outputFlags } from "./output-flags.ts";

const flags = { ...grpcProxyFlags, ...outputFlags };

export const grpcProxyCheckCommand: Command = {
  words: "grpc-proxy check",
  summary: "the same for the gRPC proxy",
  description: `Does all that "grpc-proxy start" does but listening: reads the certificates, finds
the endpoints, looks up their names, and connects to each as for calls, with TLS if
it has it. Prints what it saw. It sends no call and creates no certificate.`,
  usage: [{ argument: "flags", isOptional: true }],
  flags,
  notes: [FLAG_RULES],
  exitStatus: ["all is well", "something is not, or a file cannot be read", WRONG_INPUT],
  run: check,
};

/**
 * Prints the report and resolves with the exit status: 0 only if every step passed.
 *
 * @throws {StartError} if the config file or the password file cannot be used.
 * @throws {UsageError} for an invalid flag, variable or config file.
 */
async function check(input: ConfigSource, output: Output): Promise<number> {
  const { config, values, warnings } = await loadConfig(flags, input);
  const proxy = await proxyConfig(config, input.readFile);
  const network = createNetwork(input.environment, TLS_FLAGS);
  return await printReport(
    () => checked(proxy, network),
    { isJson: values.output === "json", warnings },
    output,
  );
}

async function checked(config: GrpcProxyConfig, network: Network): Promise<CheckReport> {
  // Loaded here: no other command but `start` needs HTTP/2.
  const { MemberProbe } = await import("../grpc-proxy/member-probe.ts");
  const { FileTls } = await import("./grpc-proxy-tls.ts");
  const { isLocalAddress } = system;
  const clock = systemClock;
  const tls = new FileTls(config.listenTls, clock, SILENT, TLS_FLAGS);
  let probe: InstanceType<typeof MemberProbe> | undefined;
  try {
    // --auto-tls would create files.
    if (config.listenTls.certFile !== undefined) await tls.start(config.listen.host);
    await tls.checkMemberFiles(config.tls);
    return await checkConfig(config, {
      ...{ clock, network, system, isLocalAddress },
      createProbe: (tcp) => {
        const created = new MemberProbe(config, { clock, tls, tcp });
        probe = created;
        return (endpoint, done) => created.probe(endpoint, done);
      },
    });
  } finally {
    probe?.close();
    tls.close();
  }
}

/** The report has what went wrong. */
const SILENT = createLog({ level: "error", format: "json", write: () => true, now: () => 0 });
