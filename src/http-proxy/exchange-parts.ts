// What exchanges share, and what is known of one that is over.
import type { IncomingMessage } from "node:http";
import type { Clock } from "../core/clock.ts";
import type { HttpProxyConfig } from "../core/http-proxy-config.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import type { OwnAnswer } from "./answers.ts";
import type { Client } from "./client.ts";
import type { Members } from "./members.ts";
import type { Routing } from "./routing.ts";

/** What all exchanges of a proxy share. */
export interface ExchangeParts {
  readonly clock: Clock;
  readonly members: Members;
  readonly routing: Routing;
  /** Names this process to itself. */
  readonly hopId: string;
  readonly config: () => HttpProxyConfig;
  readonly listener: ExchangeListener;
}

export interface ExchangeListener {
  /** Returns the answer if the proxy has one itself; undefined: a member answers. */
  ownAnswer(method: string, path: string | undefined): OwnAnswer | undefined;
  /** The exchange is over. */
  ended(exchange: EndedExchange): void;
}

/** Why a request got no answer of a member: labels of etcd's own metric. */
export type DropReason = "zero_endpoints" | "failed_sending_request" | "failed_getting_response";

export interface EndedExchange {
  readonly client: Client;
  readonly request: IncomingMessage;
  /** The member that answered, or was asked last. */
  readonly endpoint: Endpoint | undefined;
  /** On the clock. */
  readonly startedAt: number;
  /** When the head of the answer was sent; undefined: never. */
  readonly headAt: number | undefined;
  readonly status: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** Undefined if a member answered, or none was to. */
  readonly dropReason: DropReason | undefined;
  /** refused: the proxy did not forward it, or stopped to. */
  readonly end: "complete" | "client_left" | "member_broke" | "refused";
}
