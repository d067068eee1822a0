// The work of the `check` commands: finds every endpoint of a configuration and tries
// to resolve, connect to and verify each. It opens no listener.
import { formatHostPort, type HostPort } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import type { EndpointSpec } from "../core/endpoint-spec.ts";
import { resolveListenHost } from "../net/listen-address.ts";
import { type ClusterIo, type ClusterIoDeps, createClusterIo } from "./cluster-io.ts";
import type { DialLimits } from "./connector.ts";
import { UNTIL_ANSWERED } from "./dns-cache.ts";
import { type CheckedConfig, checkEndpoint } from "./endpoint-check.ts";
import type { Endpoint } from "./endpoint.ts";
import { withCertificateNames, withInheritedPriority } from "./member-specs.ts";
import type { Probe } from "./passive-health.ts";
import { Pool } from "./pool.ts";
import { type IsLocalAddress, type IsSelf, isSelf } from "./self-address.ts";
import { mustVerify } from "./srv.ts";
import { checkTlsFiles } from "./start-checks.ts";
import { describeTlsError } from "./tls-error.ts";

// These interfaces are what `check --output json` prints; scripts rely on them.

/** One step of the check of one endpoint. */
export interface Step {
  readonly ok: boolean;
  readonly ms: number;
  /** The result, or why the step failed. */
  readonly text: string;
}

export interface EndpointReport {
  readonly endpoint: string;
  readonly from: EndpointSpec["origin"];
  readonly priority: number;
  readonly weight: number;
  readonly resolves: Step;
  /** Null if the name does not resolve. */
  readonly accepts: Step | null;
  /** Null if the endpoint does not have to be verified, or does not accept. */
  readonly verifies: Step | null;
}

export interface CheckReport {
  /** Whether every step of every endpoint passed, and there are no errors. */
  readonly ok: boolean;
  readonly endpoints: readonly EndpointReport[];
  /** Errors that belong to no single endpoint, such as a failed lookup. */
  readonly errors: readonly string[];
}

/** The machine as the check uses it. */
export interface CheckDeps extends Omit<ClusterIoDeps, "isSelf"> {
  readonly isLocalAddress: IsLocalAddress;
  /** Returns how the proxy connects to endpoints. Not there: by TCP connections. */
  readonly createProbe?: (dialer: ClusterIo["dialer"]) => Probe;
}

/**
 * Checks everything once.
 *
 * @throws {UsageError} if --endpoints has the proxy's own address.
 * @throws {StartError} if a file that is named cannot be used, or a name resolves to the proxy itself.
 * @throws {StartError} if the listen address does not resolve.
 */
export async function checkConfig(
  config: CheckedConfig & DialLimits,
  deps: CheckDeps,
): Promise<CheckReport> {
  const { clock, network, system, isLocalAddress } = deps;
  await checkTlsFiles(network, config.tls);
  const listen: HostPort = await resolveListenHost(
    { flag: "--listen-addr", address: config.listen },
    { lookup: (host) => network.lookup(host, []), hasIpv6: system.hasIpv6 },
  );
  const isOwn = (address: string, port: number) => isSelf(listen, address, port, isLocalAddress);
  const sources = createClusterIo(() => config, { clock, network, system, isSelf: isOwn });
  sources.dialer.start(config, { refresh: () => Promise.resolve() });
  const probe = deps.createProbe?.(sources.dialer) ?? sources.dialer.probe.bind(sources.dialer);
  const context: CheckContext = { config, sources, clock, isSelf: isOwn, probe };
  const checks = { names: sources.names, isSelf: isOwn, listen: formatHostPort(config.listen) };
  await Promise.all(config.endpoints.map((spec) => checkEndpoint(spec, checks)));
  const errors: string[] = [];
  const specs = await findSpecs(context, errors);
  // A pool merges endpoints that two sources name.
  const pool = new Pool(config.policy);
  pool.reconcile(specs);
  const endpoints = await Promise.all(
    pool.endpoints.map((endpoint) => tryEndpoint(endpoint, context)),
  );
  return { ok: errors.length === 0 && endpoints.every(passes), endpoints, errors };
}

async function findSpecs(
  { config, sources }: CheckContext,
  errors: string[],
): Promise<readonly EndpointSpec[]> {
  const { srv, members } = sources;
  let found = config.endpoints;
  try {
    if (config.srv !== undefined) found = await srv.find(config.srv);
  } catch (error) {
    errors.push((error as Error).message);
  }
  if (config.memberSyncMs === 0 || found.length === 0) return found;
  try {
    // A password goes only to endpoints that `start` would send it to.
    const isSecure = mustVerify(config.srv);
    const candidates = isSecure ? found.filter(({ scheme }) => scheme === "https") : found;
    const asked = await sources.createVerifier().verifyAll(candidates, isSecure);
    const answer = await members.ask(asked, config);
    return [
      ...found,
      ...withInheritedPriority(found, withCertificateNames(config.srv, answer.members)),
    ];
  } catch (error) {
    errors.push(`Cannot read the member list: ${(error as Error).message}`);
    return found;
  }
}

interface CheckContext {
  readonly config: CheckedConfig;
  readonly sources: ClusterIo;
  readonly clock: Clock;
  readonly isSelf: IsSelf;
  readonly probe: Probe;
}

async function tryEndpoint(
  endpoint: Endpoint,
  { config, sources, clock, isSelf, probe }: CheckContext,
): Promise<EndpointReport> {
  const { spec, label } = endpoint;
  const { host, port } = spec.address;
  let addresses: readonly string[] = [];
  const resolves = await step(clock, async () => {
    const found = await sources.names.find(host, UNTIL_ANSWERED);
    if (found.addresses === undefined) throw new Error(found.error?.code ?? "no address");
    addresses = found.addresses;
    const own = addresses.find((address) => isSelf(address, port));
    if (own !== undefined)
      throw new Error(`it resolves to ${own}, this process's own listen address`);
    return addresses.join(" ");
  });
  const accepts = resolves.ok ? await step(clock, () => accept(endpoint, probe)) : null;
  const mustBeVerified =
    mustVerify(config.srv) && spec.origin !== "--endpoints" && accepts?.ok === true;
  const verifies = mustBeVerified
    ? await step(clock, async () => {
        if (spec.scheme === "http") throw new Error("not authenticated (plain service)");
        for (const address of addresses)
          await sources.verify({ host: address, port }, spec.certificateNames);
        return "yes";
      })
    : null;
  const { origin: from, priority, weight } = spec;
  return { endpoint: label, from, priority, weight, resolves, accepts, verifies };
}

/** Runs a step. Never rejects: a failure is a result. */
async function step(clock: Clock, work: () => Promise<string>): Promise<Step> {
  const since = clock.now();
  const outcome = await work().then(
    (text) => ({ ok: true, text }),
    (error: unknown) => ({ ok: false, text: describeTlsError(error) }),
  );
  return { ...outcome, ms: Math.round((clock.now() - since) * 10) / 10 };
}

function accept(endpoint: Endpoint, probe: Probe): Promise<string> {
  return new Promise((resolve, reject) => {
    probe(endpoint, (error) => (error === undefined ? resolve("yes") : reject(error)));
  });
}

function passes({ resolves, accepts, verifies }: EndpointReport): boolean {
  return resolves.ok && accepts?.ok === true && verifies?.ok !== false;
}
