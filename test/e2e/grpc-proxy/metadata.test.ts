// What the gRPC proxy passes on besides messages: headers and trailers in both directions,
// compression, statuses. The server is one of our own, since etcd does not show what it receives.
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import { KV } from "../../support/etcd-rpcs.ts";
import { EtcdClient } from "../../support/etcd-client.ts";
import { Closers } from "../../support/gateway-command.ts";
import type { GatewayProcess } from "../../support/gateway-process.ts";
import type { GrpcClient } from "../../support/grpc-client.ts";
import { startGrpcProxy } from "../../support/grpc-proxy-process.ts";
import { type EtcdFault, proxies, proxyTestOf } from "../../support/grpc-proxy-scene.ts";
import { GrpcUpstream, type UpstreamCall } from "../../support/grpc-upstream.ts";

setDefaultTimeout(60_000);

const REENCODED: EtcdFault = { fault: "it decodes and encodes each message" };
const DROPPED: EtcdFault = { fault: "all metadata but the token is dropped" };
const KNOWN_ONLY: EtcdFault = { fault: "it knows etcd's methods only" };
const CODE_2: EtcdFault = { fault: "the code becomes 2" };

const PUT = KV.Put.path;
const REQUEST = KV.Put.request.encode({ key: "k", value: "v" });
const ANSWER = KV.Put.response.encode({ header: { revision: 7 } });
const OK = { "grpc-status": "0" };

describe.each(proxies)("%s passes on", (_, subject) => {
  const proxyTest = proxyTestOf(subject);
  const closers = new Closers();
  const testClosers = new Closers();
  let upstream: GrpcUpstream;
  let proxy: GatewayProcess;

  beforeAll(async () => {
    upstream = closers.add(await GrpcUpstream.start());
    proxy = closers.add(await startGrpcProxy(subject, [`--endpoints=${upstream.address}`]));
  });
  afterEach(async () => {
    await testClosers.close();
    upstream.reset();
  });
  afterAll(() => closers.close());

  async function connect(): Promise<GrpcClient> {
    return testClosers.add(await EtcdClient.connect(proxy.address)).grpc;
  }

  /** Makes one unary call, which the server answers with `answer`. */
  async function unary(
    metadata: Record<string, string | string[]> = {},
    answer: (call: UpstreamCall) => void = answerPut,
  ) {
    upstream.onMessage = answer;
    const through = await (await connect()).unary(PUT, REQUEST, { metadata });
    return { through, call: upstream.calls[0]! };
  }

  const HEADERS: readonly [name: string, values: string[], etcds?: EtcdFault][] = [
    ["token", ["simple.1"]],
    ["authorization", ["Bearer of.a.token"], DROPPED],
    ["hasleader", ["true"], DROPPED],
    ["client-api-version", ["3.6.0"], DROPPED],
    ["x-text", ["a b, c", "again"], DROPPED],
    ["x-bytes-bin", [Buffer.of(0, 255, 10, 13).toString("base64")], DROPPED],
    ["traceparent", ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"], DROPPED],
    ["grpc-accept-encoding", ["identity,x-own"], DROPPED],
  ];
  for (const [name, values, etcds] of HEADERS)
    proxyTest(
      `the client's ${name}`,
      async () => {
        const { through, call } = await unary({ [name]: values });
        expect(through.status).toBe(0);
        // HTTP/2 allows to join them.
        expect(call.values(name).join(", ")).toBe(values.join(", "));
      },
      etcds,
    );

  proxyTest("a client's header of 6 KiB", async () => {
    const { through, call } = await unary({ token: "t".repeat(6 << 10) });
    expect(through.status).toBe(0);
    expect(call.values("token")).toEqual(["t".repeat(6 << 10)]);
  });

  proxyTest(
    "the server's headers and trailers",
    async () => {
      const { through } = await unary({}, (call) => {
        call.respond({ "x-head": ["a", "b"], "x-head-bin": "AP8K" });
        call.send(ANSWER);
        call.finish({ ...OK, "x-tail": "t", "x-tail-bin": "AP8K" });
      });
      const { headers = [], trailers, status } = through;
      const joined = (name: string) =>
        [...headers, ...trailers].flatMap(([key, value]) => (key === name ? value : [])).join(", ");
      const names = ["x-head", "x-head-bin", "x-tail", "x-tail-bin"];
      expect(names.map(joined)).toEqual(["a, b", "AP8K", "t", "AP8K"]);
      expect(status).toBe(0);
    },
    DROPPED,
  );

  proxyTest(
    "a status with details, in trailers alone",
    async () => {
      const refusal = {
        "grpc-status": "9",
        "grpc-message": "not%20now, %C3%A9tcd",
        "grpc-status-details-bin": "CAkSB25vdCBub3c",
      };
      const { through } = await unary({}, (call) => call.refuse(refusal));
      expect(through).toMatchObject({ headers: undefined, status: 9, message: "not now, étcd" });
      expect(through.trailers).toContainEqual(["grpc-status-details-bin", "CAkSB25vdCBub3c"]);
    },
    CODE_2,
  );

  proxyTest(
    "a message with a status that is an error",
    async () => {
      const { through } = await unary({}, (call) => {
        call.respond();
        call.send(ANSWER);
        call.finish({ "grpc-status": "5", "grpc-message": "late" });
      });
      expect(through).toMatchObject({ status: 5, message: "late" });
      expect(through.messages).toHaveLength(1);
    },
    REENCODED,
  );

  proxyTest(
    "fields that it does not know",
    async () => {
      const field = Uint8Array.of(0xfa, 0x3f, 2, 1, 2); // number 1023
      upstream.onMessage = (call) => {
        call.respond();
        call.send(Buffer.concat([ANSWER, field]));
        call.finish();
      };
      const request = Buffer.concat([REQUEST, field]);
      const { messages } = await (await connect()).unary(PUT, request);
      expect(upstream.calls[0]!.messages[0]!.bytes).toEqual(request);
      expect(messages[0]!.bytes).toEqual(Buffer.concat([ANSWER, field]));
    },
    REENCODED,
  );

  proxyTest(
    "compressed messages as they are",
    async () => {
      const gzip = (bytes: Buffer) => Buffer.from(Bun.gzipSync(new Uint8Array(bytes)));
      upstream.onMessage = (call) => {
        call.respond({ "grpc-encoding": "gzip" });
        call.send(gzip(ANSWER), true);
        call.finish();
      };
      const encodings = { "grpc-encoding": "gzip", "grpc-accept-encoding": "gzip" };
      const call = (await connect()).call(PUT, { metadata: encodings });
      call.send(gzip(REQUEST), true);
      call.halfClose();
      const answer = await call.answer();
      const sent = upstream.calls[0]!;
      expect(sent.values("grpc-encoding")).toEqual(["gzip"]);
      expect(sent.messages).toEqual([{ isCompressed: true, bytes: gzip(REQUEST) }]);
      expect(answer.headers).toContainEqual(["grpc-encoding", "gzip"]);
      expect(answer.messages).toEqual([{ isCompressed: true, bytes: gzip(ANSWER) }]);
    },
    REENCODED,
  );

  proxyTest(
    "methods that it does not know, in both directions at once",
    async () => {
      upstream.onCall = (call) => call.respond();
      upstream.onMessage = (call) => call.send(call.messages.at(-1)!.bytes);
      const call = (await connect()).call("/test.Echo/Both");
      for (const size of [0, 1, 100_000, 5]) {
        call.send(new Uint8Array(size).fill(size));
        const echo = await call.next();
        expect(echo?.bytes.equals(new Uint8Array(size).fill(size))).toBe(true);
      }
      call.halfClose();
      (await upstream.call()).finish();
      expect((await call.ended()).status).toBe(0);
    },
    KNOWN_ONLY,
  );

  proxyTest(
    "messages of 8 MiB in both directions",
    async () => {
      const message = Buffer.alloc(8 << 20, "of eight MiB ");
      const big = testClosers.add(
        await startGrpcProxy(subject, [
          `--endpoints=${upstream.address}`,
          `--max-send-bytes=${16 << 20}`,
        ]),
      );
      upstream.onMessage = (call) => {
        call.respond();
        call.send(call.messages[0]!.bytes);
        call.finish();
      };
      const client = testClosers.add(await EtcdClient.connect(big.address));
      const { status, messages } = await client.grpc.unary("/test.Echo/Once", message);
      expect(status).toBe(0);
      expect(messages[0]!.bytes.equals(message)).toBe(true);
    },
    KNOWN_ONLY,
  );
});

function answerPut(call: UpstreamCall): void {
  call.respond();
  call.send(ANSWER);
  call.finish();
}
