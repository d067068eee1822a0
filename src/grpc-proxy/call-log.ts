// Logs calls (--access-log) and messages (--experimental-enable-grpc-logging). Never what a
// message holds: keys, values, passwords and tokens stay out of the log.
import type { Clock } from "../core/clock.ts";
import type { GrpcProxyConfig } from "../core/grpc-proxy-config.ts";
import type { Logger } from "../observe/log.ts";
import { GRPC_CODE_NAMES } from "./grpc-status.ts";
import type { Method } from "./methods.ts";

const CALL = "call";
const MESSAGE = "message";

/** Whether a log message is written for each call, or more often. */
export const isCallLine = (message: string) => message === CALL || message === MESSAGE;

/** The part of the configuration that it reads. */
export type CallLogConfig = Pick<GrpcProxyConfig, "hasAccessLog" | "hasMessageLog">;

/** What a line says of a call that is over. */
export interface LoggedCall {
  readonly method: Method;
  /** The address of the client; undefined if the connection was lost. */
  readonly client: string | undefined;
  /** `host:port` of the member; undefined if none got the call. */
  readonly endpoint: string | undefined;
  readonly code: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** On the clock. */
  readonly startedAt: number;
}

export class CallLog {
  readonly #log: Logger;
  readonly #clock: Pick<Clock, "now">;
  #config: CallLogConfig;

  constructor(config: CallLogConfig, clock: Pick<Clock, "now">, log: Logger) {
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
  }

  reconfigure(config: CallLogConfig): void {
    this.#config = config;
  }

  get hasCalls(): boolean {
    return this.#config.hasAccessLog;
  }

  /**
   * Returns a function that logs one message of a call; undefined if messages are not logged.
   * `sender`: whose messages they are.
   */
  lineOf(
    sender: "client" | "member",
    { service, name }: Method,
    client: { readonly address: string | undefined },
  ): ((bytes: number) => void) | undefined {
    if (!this.#config.hasMessageLog) return undefined;
    const fields = {
      "grpc.service": service,
      "grpc.method": name,
      "peer.address": client.address ?? null,
      from: sender,
    };
    return (bytes) => this.#log.info(MESSAGE, { ...fields, bytes });
  }

  ended(call: LoggedCall): void {
    const { service, name } = call.method;
    this.#log.info(CALL, {
      client: call.client ?? null,
      method: `${service}/${name}`,
      code: GRPC_CODE_NAMES[call.code]!,
      endpoint: call.endpoint ?? null,
      "total-ms": Math.round((this.#clock.now() - call.startedAt) * 1000) / 1000,
      "bytes-to-server": call.requestBytes,
      "bytes-to-client": call.responseBytes,
    });
  }
}
