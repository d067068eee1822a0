// What a call is told whose member disappears and comes back without an answer.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { EtcdClient } from "../../support/etcd-client.ts";
import { KV } from "../../support/etcd-rpcs.ts";
import { Closers } from "../../support/gateway-command.ts";
import { startGrpcProxy } from "../../support/grpc-proxy-process.ts";
import { proxies } from "../../support/grpc-proxy-scene.ts";
import { FrameType, RawHttp2 } from "../../support/raw-http2.ts";

setDefaultTimeout(30_000);

const UNAVAILABLE = 14;

describe.each(proxies.filter(([, { kind }]) => kind === "ours"))("%s", (_, subject) => {
  const closers = new Closers();
  afterEach(() => closers.close());

  test("a read that waits for the only member is told that no endpoint accepts connections", async () => {
    const member = vanishingMember();
    closers.defer(() => member.stop(true));
    const endpoint = `--endpoints=127.0.0.1:${member.port}`;
    const proxy = closers.add(await startGrpcProxy(subject, [endpoint]));
    const client = closers.add(await EtcdClient.connect(proxy.address));

    const { status, message } = await client.answer(KV.Range, { key: "any" });

    expect(status).toBe(UNAVAILABLE);
    // Not that the connection takes no calls for now: it is lost.
    expect(message).toStartWith("etcd-gateway: no endpoint accepts connections");
  });
});

/** Resets its first connection when a call arrives, and is silent on all others. */
function vanishingMember(): Bun.TCPSocketListener<RawHttp2 | undefined> {
  let isGone = false;
  return Bun.listen<RawHttp2 | undefined>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        if (isGone) return;
        const connection = new RawHttp2(socket as Bun.Socket<RawHttp2>, true);
        socket.data = connection;
        connection.onFrame = ({ type }) => {
          if (type !== FrameType.headers) return;
          isGone = true;
          socket.terminate();
        };
      },
      data: (socket, chunk) => socket.data?.take(chunk),
    },
  });
}
