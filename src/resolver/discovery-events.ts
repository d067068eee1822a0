// What discovery tells of itself.
import type { EndpointSpec } from "../core/endpoint-spec.ts";
import type { SrvConfig } from "../core/gateway-config.ts";

/** Flips and changes; each is one log line. */
export interface DiscoveryEvents {
  /** The records are others than last time. */
  discovered(srv: SrvConfig, specs: readonly EndpointSpec[]): void;
  /** Records of the plain service, which nothing authenticates, are not used. */
  dropped(srv: SrvConfig, specs: readonly EndpointSpec[]): void;
  /** What passed the handshake is another set than last time. */
  validated(srv: SrvConfig, specs: readonly EndpointSpec[]): void;
  /** Nothing usable was found, as last time it was; the last good set stays. */
  failed(source: Source, error: Error): void;
  recovered(source: Source): void;
  /** Nothing was found at start; what --endpoints names is used. */
  fellBack(error: Error, specs: readonly EndpointSpec[]): void;
}

export type Source = "SRV discovery" | "member list";
