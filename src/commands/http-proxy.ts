// `http-proxy start`: runs the HTTP proxy.
import type { Command, CommandInput } from "../cli/command.ts";
import { logOptionFailures } from "../gateway/option-failures.ts";
import { isRequestLine } from "../http-proxy/request-log.ts";
import { systemClock } from "../os/clock.ts";
import { random } from "../os/random.ts";
import * as system from "../os/tcp.ts";
import { enlargeThreadPool } from "../os/thread-pool.ts";
import { runService } from "../service/run.ts";
import { FLAG_RULES, WRONG_INPUT } from "./config-text.ts";
import { HttpProxyConfigProvider } from "./http-proxy-config-provider.ts";
import { httpProxyFlags } from "./http-proxy-flags.ts";
import { createNetwork } from "./network.ts";

export const httpProxyCommand: Command = {
  words: "http-proxy start",
  summary: "run the HTTP proxy",
  description:
    "Listens on a local address and forwards each HTTP request, of etcd's v2 API or of its JSON gateway (/v3/...), to an etcd member that is up.",
  usage: [{ argument: "flags", isOptional: true }],
  flags: httpProxyFlags,
  notes: [
    `It replaces "etcd --proxy on" and "etcd --proxy readonly". Answers pass as they come, a
write is never sent twice, and an answer that breaks off never looks complete.`,
    FLAG_RULES,
  ],
  details: [
    `Signals:
  SIGTERM, SIGINT   stop accepting, let requests finish for --drain-timeout, end
                    with status 0; a second one ends at once
  SIGHUP            read the config file again and repeat every lookup; requests
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
      what: "Run it in front of a three-member cluster, and read the keys through it:",
      lines: [
        "etcd-gateway http-proxy start --endpoints=10.0.1.10:2379,10.0.1.11:2379,10.0.1.12:2379",
        "curl http://127.0.0.1:23790/v2/keys/",
      ],
    },
    {
      what: "Let others read, and nothing else:",
      lines: ["etcd-gateway http-proxy start --proxy=readonly --listen-addr=:23790"],
    },
  ],
  run: start,
};

/** Holds `start`. */
export const httpProxyHolderCommand: Command = {
  words: "http-proxy",
  description: 'Holds "start", as the other proxies do.',
  usage: [{ choices: ["start"] }, { argument: "flags", isOptional: true }],
  flags: {},
  details: ['"etcd-gateway help http-proxy start" explains every flag.'],
};

/**
 * Runs the HTTP proxy and resolves with the exit status once it has ended.
 *
 * @throws {StartError} if the config file cannot be read.
 * @throws {UsageError} for an invalid flag, variable or config file.
 */
async function start(input: CommandInput): Promise<number> {
  const threads = enlargeThreadPool();
  const provider = await HttpProxyConfigProvider.load(input);
  // Loaded here: no other command needs an HTTP server.
  const { HttpProxy } = await import("../http-proxy/http-proxy.ts");
  const { environment } = input;
  const network = createNetwork({ ...environment, UV_THREADPOOL_SIZE: String(threads) });
  return await runService({
    environment,
    provider,
    lookup: (host) => network.lookup(host, []),
    isAccess: isRequestLine,
    createProxy: ({ log, ...parts }) =>
      new HttpProxy(provider.config, {
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
