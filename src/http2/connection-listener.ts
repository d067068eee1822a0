// What a connection is given, and what it reports.
import type { Clock } from "../core/clock.ts";
import type { TcpSocket } from "../net/tcp-socket.ts";
import type { HeaderList } from "./header-list.ts";
import type { BufferedBytes } from "./buffered-bytes.ts";
import type { Stream, StreamListener } from "./stream.ts";
import type { Role } from "./stream-table.ts";

/** The part of a socket that a connection uses. */
export type ConnectionSocket = Pick<TcpSocket, "write" | "shutdown" | "terminate">;

export interface ConnectionOptions {
  readonly role: Role;
  readonly clock: Clock;
  readonly buffered: BufferedBytes;
  /** Streams that the peer may have open at the same time, if it opens them. At most 2^32 - 1. */
  readonly maxConcurrentStreams: number;
  /** Milliseconds between two PINGs of a client; the third that is earlier ends the connection. 0: no limit. */
  readonly minPingMs: number;
  /** The id of a client's first stream: odd. 1 by default. */
  readonly firstStreamId?: number;
}

export interface ConnectionListener {
  /** The peer's first SETTINGS have arrived: it speaks HTTP/2. */
  ready(): void;
  /** A client has opened a stream. Returns who receives its events. */
  request(stream: Stream, list: HeaderList, isEnd: boolean): StreamListener;
  /**
   * No new streams can be opened: the peer wants none, or no ids are left. Those that are open
   * go on. `code` is a value of `ErrorCode`.
   */
  goneAway(code: number, debugData: string): void;
  /** The last stream has ended. */
  emptied(): void;
  /** The connection is over, and so are its streams. Called once. `reason` is for a log. */
  closed(reason: string): void;
  /** The socket is closed too. Called once, after `closed`. */
  released(): void;
  /** A listener of a stream threw `error`; the stream was reset. */
  faulted(error: unknown): void;
}
