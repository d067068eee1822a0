// The events that discovery reports. Each is one log line, so only changes are
// reported.
import type { EndpointSpec } from "../core/endpoint-spec.ts";
import type { SrvConfig } from "../core/gateway-config.ts";

export interface DiscoveryEvents {
  /** The SRV records name other endpoints than before. */
  discovered(srv: SrvConfig, specs: readonly EndpointSpec[]): void;
  /** Records of the plain-text SRV service were ignored, because they are not authenticated. */
  dropped(srv: SrvConfig, specs: readonly EndpointSpec[]): void;
  /** Other endpoints than before passed the TLS handshake. */
  validated(srv: SrvConfig, specs: readonly EndpointSpec[]): void;
  /** A refresh found nothing usable after one that did; the last good set stays in use. */
  failed(source: Source, error: Error): void;
  /** A refresh succeeded after one that failed. */
  recovered(source: Source): void;
  /** SRV found nothing at start, so the endpoints of --endpoints are used. */
  fellBack(error: Error, specs: readonly EndpointSpec[]): void;
}

export type Source = "SRV discovery" | "member list";
