// How calls begin and end through the gRPC proxy: half-close, cancel, deadlines, resets, GOAWAY,
// lost connections. The servers are of our own, since they have to misbehave.
import { afterEach, describe, expect, setDefaultTimeout } from "bun:test";
import { EtcdClient } from "../../support/etcd-client.ts";
import { KV } from "../../support/etcd-rpcs.ts";
import { Closers } from "../../support/gateway-command.ts";
import type { GrpcClient } from "../../support/grpc-client.ts";
import { startGrpcProxy } from "../../support/grpc-proxy-process.ts";
import {
  type EtcdFault,
  proxies,
  proxyOnlyTestOf,
  proxyTestOf,
} from "../../support/grpc-proxy-scene.ts";
import { GrpcUpstream, type UpstreamCall } from "../../support/grpc-upstream.ts";
import { HeldPort } from "../../support/held-port.ts";
import { until } from "../../support/peer.ts";
import { FrameType, type RawHttp2, RawHttp2Server } from "../../support/raw-http2.ts";

setDefaultTimeout(60_000);

const KNOWN_ONLY: EtcdFault = { fault: "it knows etcd's methods only" };

const RETRIES_ONCE: EtcdFault = { fault: "it retries once, perhaps there", isRare: true };

const PUT = KV.Put.path;
const REQUEST = KV.Put.request.encode({ key: "k", value: "v" });
const STREAM = "/test.Echo/Both";
const MESSAGE = Buffer.from("message");
const CANCEL = 8;
/** The payload of a GOAWAY that says that no stream was processed. */
const NOTHING_DONE = Buffer.alloc(8);

describe.each(proxies)("%s", (_, subject) => {
  const proxyTest = proxyTestOf(subject);
  const proxyOnlyTest = proxyOnlyTestOf(subject);
  const closers = new Closers();
  afterEach(() => closers.close());

  /** Starts servers, a proxy in front of them, and connects to it. */
  async function start(size = 1): Promise<{ upstreams: GrpcUpstream[]; client: GrpcClient }> {
    const upstreams: GrpcUpstream[] = [];
    for (let i = 0; i < size; i++) upstreams.push(closers.add(await GrpcUpstream.start()));
    const client = await connect(upstreams.map(({ address }) => address));
    return { upstreams, client };
  }

  async function connect(endpoints: readonly string[]): Promise<GrpcClient> {
    const flags = [`--endpoints=${endpoints.join(",")}`];
    const proxy = closers.add(await startGrpcProxy(subject, flags));
    return closers.add(await EtcdClient.connect(proxy.address)).grpc;
  }

  proxyTest(
    "a half-close passes on, after which the server still answers",
    async () => {
      const { upstreams, client } = await start();
      const call = client.call(STREAM);
      call.send(MESSAGE);
      const seen = await upstreams[0]!.call();
      await until(() => seen.messages.length === 1, "the message arrived");
      expect(seen.isHalfClosed).toBe(false);

      call.halfClose();
      await until(() => seen.isHalfClosed, "the half-close arrived");
      seen.respond();
      for (let i = 0; i < 3; i++) {
        seen.send(MESSAGE);
        expect((await call.next())!.bytes).toEqual(MESSAGE);
      }
      seen.finish();
      expect((await call.ended()).status).toBe(0);
    },
    KNOWN_ONLY,
  );

  proxyTest(
    "the server may answer and end a call before the client half-closes",
    async () => {
      const { upstreams, client } = await start();
      upstreams[0]!.onMessage = answerPut;
      const call = client.call(STREAM);
      call.send(MESSAGE);
      const answer = await call.answer();
      expect([answer.status, answer.messages.length]).toEqual([0, 1]);
    },
    KNOWN_ONLY,
  );

  proxyTest(
    "headers pass on before the first message",
    async () => {
      const { upstreams, client } = await start();
      upstreams[0]!.onCall = (call) => call.respond({ "x-early": "1" });
      const call = client.call(STREAM);
      const isAnswered = () => call.headers !== undefined || call.end !== undefined;
      await until(isAnswered, "the headers arrived");
      expect(call.headers).toContainEqual(["x-early", "1"]);
      call.cancel();
    },
    KNOWN_ONLY,
  );

  proxyTest("a cancel by the client ends the call at the server", async () => {
    const { upstreams, client } = await start();
    const call = client.call(PUT);
    call.send(REQUEST);
    call.halfClose();
    const seen = await upstreams[0]!.call();
    call.cancel();
    expect(await seen.ended()).toBe(CANCEL);
  });

  proxyTest("the loss of the client ends its calls at the server", async () => {
    const { upstreams, client } = await start();
    const call = client.call(PUT);
    call.send(REQUEST);
    call.halfClose();
    const seen = await upstreams[0]!.call();
    client.close();
    await seen.ended();
  });

  proxyTest(
    "a deadline ends the call with DEADLINE_EXCEEDED on both sides",
    async () => {
      const { upstreams, client } = await start();
      const call = client.call(PUT, { metadata: { "grpc-timeout": "400m" } });
      call.send(REQUEST);
      call.halfClose();
      const seen = await upstreams[0]!.call();
      const [timeout] = seen.values("grpc-timeout");
      expect(millisecondsOf(timeout!)).toBeWithin(1, 401);
      if (subject.kind === "none") return call.cancel();

      expect((await call.ended()).status).toBe(4);
      expect(await seen.ended()).toBe(CANCEL);
    },
    { fault: "the code becomes 2 or 1", isRare: true },
  );

  proxyTest(
    "a reset by the server ends the call with gRPC's status for the code",
    async () => {
      const server = closers.add(new RawHttp2Server());
      server.onFrame = ({ type, stream, payload }, connection) => {
        const code = /^\d+$/.exec(payload.toString("latin1", 5))?.[0];
        if (type === FrameType.data && code !== undefined) connection.reset(stream, Number(code));
      };
      const client = await connect([server.address]);
      const statuses: number[] = [];
      for (const code of [1, 2, CANCEL, 11]) {
        const call = client.call("/test.Echo/Once");
        call.send(Buffer.from(String(code)));
        statuses.push((await call.ended()).status);
      }
      expect(statuses).toEqual([13, 13, 1, 8]);
    },
    KNOWN_ONLY,
  );

  proxyTest("a connection that the server loses ends a write with UNAVAILABLE, once", async () => {
    const { upstreams, client } = await start();
    upstreams[0]!.onMessage = () => upstreams[0]!.cut();
    const answer = await client.unary(PUT, REQUEST);
    expect(answer.status).toBe(14);
    expect(upstreams[0]!.calls).toHaveLength(1);
  });

  proxyOnlyTest("calls of one connection go to the servers in turn", async () => {
    const { upstreams, client } = await start(2);
    for (const upstream of upstreams) upstream.onMessage = answerPut;
    // At first, only one may be connected.
    while (upstreams.some(({ calls }) => calls.length === 0)) await client.unary(PUT, REQUEST);
    const before = upstreams.map(({ calls }) => calls.length);
    for (let i = 0; i < 40; i++) expect((await client.unary(PUT, REQUEST)).status).toBe(0);
    // The proxy's own calls may take turns in between.
    for (const [i, { calls }] of upstreams.entries())
      expect(calls.length - before[i]!).toBeWithin(15, 26);
  });

  const UNTOUCHED: readonly [
    how: string,
    refuse: (connection: RawHttp2, stream: number) => void,
  ][] = [
    ["refuses the stream", (connection, stream) => connection.reset(stream, 7)],
    ["sends GOAWAY instead", (connection) => connection.send(FrameType.goAway, 0, 0, NOTHING_DONE)],
  ];
  for (const [how, refuse] of UNTOUCHED)
    proxyOnlyTest(
      `a call goes to another server if the first ${how}`,
      async () => {
        const first = closers.add(new RawHttp2Server());
        let refused = 0;
        first.onFrame = ({ type, stream }, connection) => {
          if (type !== FrameType.headers) return;
          refused++;
          refuse(connection, stream);
        };
        const second = closers.add(await GrpcUpstream.start());
        second.onMessage = answerPut;
        const client = await connect([first.address, second.address]);
        await until(() => first.connections.length > 0, "the first server was connected");
        for (let i = 0; i < 6; i++) expect((await client.unary(PUT, REQUEST)).status).toBe(0);
        expect(second.calls).toHaveLength(6);
        expect(refused).toBeGreaterThan(0);
      },
      RETRIES_ONCE,
    );

  proxyOnlyTest("GOAWAY lets calls finish, and later ones use another connection", async () => {
    const { upstreams, client } = await start();
    const upstream = upstreams[0]!;
    const first = client.call(PUT);
    first.send(REQUEST);
    first.halfClose();
    const seen = await upstream.call();
    upstream.goAway();
    upstream.onMessage = answerPut;
    expect((await client.unary(PUT, REQUEST)).status).toBe(0);
    answerPut(seen);
    expect((await first.answer()).status).toBe(0);
  });

  proxyOnlyTest(
    "a call ends with UNAVAILABLE if no server is up",
    async () => {
      const port = closers.add(new HeldPort());
      const client = await connect([`127.0.0.1:${port.port}`]);
      const call = client.call(PUT);
      call.send(REQUEST);
      call.halfClose();
      const { status, message } = await call.ended(20_000);
      expect(status).toBe(14);
      expect(message).not.toBe("");
    },
    { fault: "the call waits until its deadline" },
  );
});

function answerPut(call: UpstreamCall): void {
  call.respond();
  call.send(KV.Put.response.encode({ header: { revision: 7 } }));
  call.finish();
}

/** Reads a value of grpc-timeout. */
function millisecondsOf(timeout: string): number {
  const [, amount, unit] = /^(\d{1,8})([HMSmun])$/.exec(timeout)!;
  return Number(amount) * { H: 3.6e6, M: 6e4, S: 1e3, m: 1, u: 1e-3, n: 1e-6 }[unit!]!;
}
