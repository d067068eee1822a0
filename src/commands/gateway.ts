// `start`: runs the L4 gateway.
import type { Command, CommandInput } from "../cli/command.ts";
import { CurrentConfig } from "../cli/current-config.ts";
import { isAccess } from "../gateway/access-log.ts";
import { Gateway } from "../gateway/gateway.ts";
import { logOptionFailures } from "../gateway/option-failures.ts";
import { systemClock } from "../os/clock.ts";
import { random } from "../os/random.ts";
import * as system from "../os/tcp.ts";
import { enlargeThreadPool } from "../os/thread-pool.ts";
import { runService } from "../service/run.ts";
import { FLAG_RULES, WRONG_INPUT } from "./config-text.ts";
import { gatewayFlags } from "./gateway-flags.ts";
import { createNetwork } from "./network.ts";

export const gatewayCommand: Command = {
  words: "start",
  aliases: [{ words: "gateway start", summary: "the same, in the words of etcd's own binary" }],
  summary: "run the gateway",
  description: "Listens on a local address and relays each client to an etcd endpoint that is up.",
  usage: [{ argument: "flags", isOptional: true }],
  flags: gatewayFlags,
  notes: [FLAG_RULES],
  details: [
    `Signals:
  SIGTERM, SIGINT   stop accepting, let relays finish for --drain-timeout, end
                    with status 0; a second one ends at once
  SIGHUP            read the config file again and repeat every lookup; relays
                    go on
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
      what: "Run it in front of a three-member cluster:",
      lines: ["etcd-gateway start --endpoints=10.0.1.10:2379,10.0.1.11:2379,10.0.1.12:2379"],
    },
    { what: "Use it:", lines: ["etcdctl --endpoints=127.0.0.1:23790 put greeting hello"] },
    {
      what: "Check the endpoints that DNS has, then run with them:",
      lines: [
        "etcd-gateway check --discovery-srv=example.com",
        "etcd-gateway start --discovery-srv=example.com",
      ],
    },
  ],
  run: start,
};

/** Holds `start`, as etcd's own binary does. */
export const etcdGatewayCommand: Command = {
  words: "gateway",
  description: 'Holds "start", so that a unit file written for etcd moves over by one word.',
  usage: [{ choices: ["start"] }, { argument: "flags", isOptional: true }],
  flags: {},
  details: ['"etcd-gateway help start" explains every flag.'],
};

/**
 * Runs the gateway and resolves with the exit status once it has ended.
 *
 * @throws {StartError} if the config file cannot be read.
 * @throws {UsageError} for an invalid flag, variable or config file.
 */
async function start(input: CommandInput): Promise<number> {
  const threads = enlargeThreadPool();
  const provider = await CurrentConfig.load(gatewayFlags, input);
  const { environment } = input;
  const network = createNetwork({ ...environment, UV_THREADPOOL_SIZE: String(threads) });
  return await runService({
    environment,
    provider,
    lookup: (host) => network.lookup(host, []),
    isAccess,
    createProxy: ({ log, ...parts }) =>
      new Gateway(provider.config, {
        ...parts,
        clock: systemClock,
        log,
        network,
        system: logOptionFailures(system, log.from("os/tcp.ts")),
        random,
        isLocalAddress: system.isLocalAddress,
      }),
  });
}
