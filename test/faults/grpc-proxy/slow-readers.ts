// Clients that open a watch and read nothing until the fault is over. Counts the events that
// they never get.
import { Watch } from "../../support/etcd-rpcs.ts";
import { framed, MessageReader } from "../../support/grpc-client.ts";
import { until } from "../../support/peer.ts";
import { FrameType, RawHttp2 } from "../../support/raw-http2.ts";
import type { Proxy } from "./proxies.ts";

const CLIENTS = 4;
const WINDOW_BYTES = 1 << 30;

interface Reader {
  readonly proxy: Proxy;
  readonly connection: RawHttp2;
  readonly keys: Set<string>;
}

export class SlowReaders {
  readonly #readers: Reader[] = [];

  /** Opens watches of a prefix; resolves once they are created. */
  async open(proxy: Proxy, prefix: string): Promise<void> {
    for (let i = 0; i < CLIENTS; i++) {
      const connection = await RawHttp2.connect(proxy.port);
      this.#readers.push({ proxy, connection, keys: new Set() });
      connection.startCall(Watch.Watch.path);
      const create = { key: prefix, rangeEnd: `${prefix}\xff` };
      connection.send(FrameType.data, 0, 1, framed(Watch.Watch.request.encode({ create }), false));
      const isCreated = () => connection.frames.some(({ type }) => type === FrameType.data);
      await until(isCreated, "a slow reader's watch was created");
    }
  }

  /** Reads everything from now on. */
  resume(): void {
    for (const { connection, keys } of this.#readers) {
      const reader = new MessageReader(({ bytes }) => {
        for (const { kv } of Watch.Watch.response.decode(bytes).events) keys.add(kv!.key);
      });
      const take = ({ type, payload }: { type: number; payload: Buffer }) => {
        if (type === FrameType.data) reader.take(payload);
      };
      for (const frame of connection.frames.splice(0)) take(frame);
      connection.onFrame = (frame) => {
        connection.frames.length = 0;
        take(frame);
      };
      for (const stream of [0, 1]) connection.grant(stream, WINDOW_BYTES);
    }
  }

  /** The events that the readers of a proxy did not get, of those that any reader got. */
  lost(proxy: Proxy): { lost: number; events: number } {
    const own = this.#readers.filter((reader) => reader.proxy === proxy);
    const all = new Set(own.flatMap(({ keys }) => [...keys]));
    const got = own.reduce((sum, { keys }) => sum + keys.size, 0);
    return { lost: all.size * own.length - got, events: all.size * own.length };
  }

  close(): void {
    for (const { connection } of this.#readers) connection.close();
  }
}
