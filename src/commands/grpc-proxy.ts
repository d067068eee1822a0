// `grpc-proxy start`: runs the gRPC proxy.
import { hostname } from "node:os";
import type { Command, CommandInput } from "../cli/command.ts";
import { logOptionFailures } from "../gateway/option-failures.ts";
import { systemClock } from "../os/clock.ts";
import { random } from "../os/random.ts";
import * as system from "../os/tcp.ts";
import { enlargeThreadPool } from "../os/thread-pool.ts";
import { runService } from "../service/run.ts";
import { isCallLine } from "../grpc-proxy/call-log.ts";
import { FLAG_RULES, WRONG_INPUT } from "./config-text.ts";
import { GrpcProxyConfigProvider } from "./grpc-proxy-config-provider.ts";
import { grpcProxyFlags } from "./grpc-proxy-flags.ts";
import { createNetwork } from "./network.ts";

/** The flags that set the files for etcd. */
export const TLS_FLAGS = { trustedCaFile: "--cacert", certFile: "--cert", keyFile: "--key" };

export const grpcProxyCommand: Command = {
  words: "grpc-proxy start",
  summary: "run the gRPC proxy",
  description:
    "Listens on a local address and forwards each gRPC call to an etcd member that is up.",
  usage: [{ argument: "flags", isOptional: true }],
  flags: grpcProxyFlags,
  notes: [
    `It takes the flags of "etcd grpc-proxy start", so that a unit file moves over by one
word. For wrong input it exits with 2, where etcd exits with 1.`,
    FLAG_RULES,
  ],
  details: [
    `Signals:
  SIGTERM, SIGINT   stop accepting, let calls finish for --drain-timeout, end
                    with status 0; a second one ends at once
  SIGHUP            read the config file, --password-file and certificates again
                    and repeat every lookup; calls go on
  SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO
                    ignored, with a line in the log`,
  ],
  exitStatus: [
    "a clean end",
    "it could not run, and another start may (an address in use, a file that cannot be read, a name)",
    WRONG_INPUT,
  ],
  examples: [
    {
      what: "Run the gRPC proxy in front of a three-member cluster that uses TLS:",
      lines: [
        "etcd-gateway grpc-proxy start --endpoints=https://10.0.1.10:2379,https://10.0.1.11:2379,https://10.0.1.12:2379 --cacert=/etc/etcd/ca.pem",
      ],
    },
  ],
  run: start,
};

/** Holds `start`, as etcd's own binary does, and `check`. */
export const grpcProxyHolderCommand: Command = {
  words: "grpc-proxy",
  description:
    'Holds "start", so that a unit file written for etcd moves over by one word, and "check".',
  usage: [{ choices: ["start", "check"] }, { argument: "flags", isOptional: true }],
  flags: {},
  details: ['"etcd-gateway help grpc-proxy start" explains every flag.'],
};

/**
 * Runs the gRPC proxy and resolves with the exit status once it has ended.
 *
 * @throws {StartError} if the config file or the password file cannot be used.
 * @throws {UsageError} for an invalid flag, variable or config file.
 */
async function start(input: CommandInput): Promise<number> {
  const threads = enlargeThreadPool();
  const provider = await GrpcProxyConfigProvider.load(input);
  // Loaded here: no other command needs HTTP/2.
  const { GrpcProxy } = await import("../grpc-proxy/grpc-proxy.ts");
  const { FileTls } = await import("./grpc-proxy-tls.ts");
  const { environment } = input;
  const network = createNetwork({ ...environment, UV_THREADPOOL_SIZE: String(threads) }, TLS_FLAGS);
  return await runService({
    environment,
    provider,
    lookup: (host) => network.lookup(host, []),
    isAccess: isCallLine,
    createProxy: ({ log, ...parts }) =>
      new GrpcProxy(provider.config, {
        ...parts,
        clock: systemClock,
        log,
        network,
        system: logOptionFailures(system, log.from("os/tcp.ts")),
        random,
        isLocalAddress: system.isLocalAddress,
        hostname: hostname(),
        tls: new FileTls(provider.config.listenTls, systemClock, log, TLS_FLAGS),
      }),
  });
}
