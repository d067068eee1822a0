// Name lookups: the stub resolver on this machine's sockets and files.
import { limiter } from "../dns/limiter.ts";
import { CANCELLED, codeOf, type Result } from "../dns/result.ts";
import { StubResolver } from "../dns/stub-resolver.ts";
import { systemClock } from "../os/clock.ts";
import * as os from "../os/dns.ts";
import type { Network } from "../resolver/cluster-io.ts";

/** Opens nothing yet. `environment` has the variables that the C library's resolver obeys. */
export function createNameResolver(
  environment: Readonly<Record<string, string | undefined>>,
): Pick<Network, "lookup" | "resolveSrv"> {
  const resolver = createResolver(environment);
  return {
    lookup: async (host, servers, signal) =>
      valueOf(await resolver.lookupHost(host, servers, signal), host).addresses,
    resolveSrv: async (name, servers, signal) => {
      const { records, ttlSeconds } = valueOf(
        await resolver.lookupSrv(name, servers, signal),
        name,
      );
      return records.map((record) => ({ ...record, ttlSeconds }));
    },
  };
}

function createResolver(environment: Readonly<Record<string, string | undefined>>): StubResolver {
  const limit = limiter(os.getaddrinfoLimit(environment));
  return new StubResolver({
    transport: { exchangeUdp: os.exchangeUdp, exchangeTcp: os.exchangeTcp },
    files: { version: os.fileVersion, read: os.readFileStart },
    clock: systemClock,
    randomId: os.randomId,
    hostname: os.machineName,
    prefersSystem: os.prefersGetaddrinfo(environment),
    sourceAddress: os.sourceAddress,
    systemLookup: (host, signal) =>
      untilAborted(
        limit(async () => (signal.aborted ? [] : os.getaddrinfo(host))),
        signal,
      ),
  });
}

/** getaddrinfo cannot be cancelled: its caller stops waiting. */
async function untilAborted(
  lookup: Promise<readonly string[]>,
  signal: AbortSignal,
): Promise<Result<readonly string[]>> {
  const { promise, resolve } = Promise.withResolvers<Result<readonly string[]>>();
  const cancel = () => resolve({ code: CANCELLED });
  signal.addEventListener("abort", cancel);
  lookup.then(
    (value) => resolve({ value }),
    (error: unknown) => resolve({ code: codeOf(error) }),
  );
  return promise.finally(() => signal.removeEventListener("abort", cancel));
}

/** @throws {Error} with the `code` of a result that has no value. */
function valueOf<T>(result: Result<T>, name: string): T {
  if ("value" in result) return result.value;
  throw Object.assign(new Error(`Cannot look up "${name}": ${result.code}`), result);
}
