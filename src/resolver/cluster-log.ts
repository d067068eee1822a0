// Logs the events of a cluster, one line each. Where etcd's gateway logs the same
// event, the message is etcd's.
import { formatDuration } from "../core/duration.ts";
import { type EndpointSpec, labelOf, urlOf } from "../core/endpoint-spec.ts";
import type { SrvConfig } from "../core/gateway-config.ts";
import type { Fields, Logger } from "../observe/log.ts";
import type { VerifierEvents } from "./endpoint-verifier.ts";
import type { DiscoveryEvents, Source } from "./discovery-events.ts";
import type { PassiveHealthEvents } from "./passive-health.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Changes } from "./pool.ts";

export class ClusterLog implements PassiveHealthEvents, VerifierEvents, DiscoveryEvents {
  readonly #log: Logger;
  readonly #retryDelayMs: () => number;
  readonly #stillDownMs: number;
  /** How often each endpoint that is down has failed again, and how at last. */
  readonly #failures = new WeakMap<Endpoint, { count: number; code: string }>();

  /** `stillDownMs`: between two lines about an endpoint that stays down for the same reason. 0: one for each failure. */
  constructor(log: Logger, retryDelayMs: () => number, stillDownMs: number) {
    this.#log = log;
    this.#retryDelayMs = retryDelayMs;
    this.#stillDownMs = stillDownMs;
  }

  deactivated(endpoint: Endpoint, error: Error): void {
    this.#failures.set(endpoint, { count: 0, code: codeOf(error) });
    this.#log.warn("deactivated endpoint", this.#failureFields(endpoint, error));
  }

  stillDown(endpoint: Endpoint, error: Error): void {
    const { count, code } = this.#failures.get(endpoint)!;
    const isKnown = codeOf(error) === code;
    this.#failures.set(endpoint, { count: isKnown ? count + 1 : 1, code: codeOf(error) });
    const period = Math.max(1, Math.ceil(this.#stillDownMs / this.#retryDelayMs()));
    if (isKnown && count % period > 0) return;
    const message = "failed to activate endpoint (stay inactive for another interval)";
    this.#log.warn(message, this.#failureFields(endpoint, error));
  }

  activated(endpoint: Endpoint): void {
    const { label } = endpoint;
    this.#failures.delete(endpoint);
    this.#log.info("activated", { address: label });
  }

  /** Logs that an endpoint became unhealthy or unresponsive. `reason` is from the latest check. */
  unhealthy({ label, health }: Endpoint, reason: string, hasHealthy: boolean): void {
    this.#log.warn(`endpoint is ${health}`, {
      address: label,
      error: reason,
      ...(!hasHealthy && {
        note: "no endpoint is healthy: clients go to unhealthy endpoints before unresponsive ones",
      }),
    });
  }

  healthy({ label }: Endpoint): void {
    this.#log.info("endpoint is healthy again", { address: label });
  }

  rejected(spec: EndpointSpec, error: string): void {
    this.#log.warn("rejected endpoint (checked again at each refresh)", {
      address: labelOf(spec),
      from: spec.origin,
      error,
    });
  }

  unresolved(spec: EndpointSpec, error: string): void {
    this.#log.warn("endpoint does not resolve (looked up again at each dial)", {
      address: labelOf(spec),
      error,
    });
  }

  isOwnAddress(spec: EndpointSpec, error: string): void {
    this.#log.warn("endpoint is this process itself; it is never dialled", {
      address: labelOf(spec),
      error,
    });
  }

  discovered(srv: SrvConfig, specs: readonly EndpointSpec[]): void {
    this.#log.info("discovered cluster from SRV", srvFields(srv, specs));
  }

  dropped(srv: SrvConfig, specs: readonly EndpointSpec[]): void {
    this.#log.warn(
      "ignored unauthenticated SRV records (--insecure-discovery accepts them)",
      srvFields(srv, specs),
    );
  }

  validated(srv: SrvConfig, specs: readonly EndpointSpec[]): void {
    this.#log.info("using validated discovered SRV endpoints", srvFields(srv, specs));
  }

  failed(source: Source, { message }: Error): void {
    this.#log.warn(`${source} failed (keeping known endpoints)`, { error: message });
  }

  recovered(source: Source): void {
    this.#log.info(`${source} recovered`);
  }

  fellBack({ message }: Error, specs: readonly EndpointSpec[]): void {
    this.#log.warn("SRV discovery failed (using --endpoints until it succeeds)", {
      endpoints: specs.map(labelOf),
      error: message,
    });
  }

  changed({ added, removed }: Changes): void {
    if (added.length + removed.length === 0) return;
    this.#log.info("endpoints changed", {
      added: added.map(({ label }) => label),
      removed: removed.map(({ label }) => label),
    });
  }

  #failureFields({ label }: Endpoint, error: Error): Fields {
    return { address: label, interval: formatDuration(this.#retryDelayMs()), error: error.message };
  }
}

/** Returns what stays the same while the addresses of an endpoint take turns. */
function codeOf(error: Error): string {
  return (error as Error & { code?: string }).code ?? error.message;
}

function srvFields({ domain }: SrvConfig, specs: readonly EndpointSpec[]): Fields {
  return { "srv-server": domain, endpoints: specs.map(urlOf) };
}
