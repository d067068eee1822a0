// HTTP/1.1 on the port of the gRPC clients, byte by byte and with everything that is wrong.
import { describe, expect, test } from "bun:test";
import { Http1Client } from "../../src/grpc-proxy/http1-client.ts";
import { HttpRoutes } from "../../src/grpc-proxy/http-routes.ts";
import { textAnswer } from "../../src/grpc-proxy/http-answer.ts";
import { Counter } from "../http2/joined.ts";
import { ManualClock } from "../support/manual-clock.ts";

const OK = "HTTP/1.1 200 OK";

/** A connection, and what it wrote. */
class Scene {
  readonly clock = new ManualClock();
  readonly buffered = new Counter();
  readonly asked: string[] = [];
  capacity = Number.POSITIVE_INFINITY;
  written = "";
  events: string[] = [];
  readonly client: Http1Client;

  constructor(body = "body\n") {
    const answer = async (method: string, path: string) => {
      this.asked.push(`${method} ${path}`);
      return textAnswer(200, body);
    };
    const { clock, buffered } = this;
    this.client = new Http1Client({ clock, buffered, routes: { answer } as never }, () =>
      this.events.push("closed"),
    );
    this.client.opened({
      write: (data: Uint8Array, offset: number, length: number) => {
        const taken = Math.min(length, this.capacity);
        this.capacity -= taken;
        this.written += Buffer.from(data.subarray(offset, offset + taken)).toString("latin1");
        return taken;
      },
      shutdown: () => this.events.push("FIN"),
      terminate: () => this.events.push("RST"),
    } as never);
  }

  async send(text: string): Promise<this> {
    this.client.received(Buffer.from(text, "latin1"));
    await Bun.sleep(0);
    return this;
  }
}

describe("Http1Client", () => {
  test("answers a request, wherever it is cut, and ends with a FIN", async () => {
    const request = "GET /health?x=1 HTTP/1.1\r\nHost: a\r\n\r\n";
    for (let cut = 1; cut < request.length; cut++) {
      const scene = await new Scene().send(request.slice(0, cut));
      expect(scene.written).toBe("");
      await scene.send(request.slice(cut));
      expect(scene.asked).toEqual(["GET /health"]);
      expect(scene.written).toStartWith(OK);
      expect(scene.written).toEndWith("Content-Length: 5\r\nConnection: close\r\n\r\nbody\n");
      expect(scene.events).toEqual(["FIN"]);
      scene.client.closed();
      expect([scene.events.at(-1), scene.clock.pending]).toEqual(["closed", 0]);
    }
  });

  test.each([
    ["a second request", "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n"],
    [
      "a body that is a request",
      "POST /a HTTP/1.1\r\nContent-Length: 20\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
    ],
    [
      "two lengths of a body",
      "GET /a HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /b HTTP/1.1\r\n\r\n",
    ],
  ])("answers one request alone, and drops %s", async (_, text) => {
    const scene = await new Scene().send(text);
    await scene.send("GET /c HTTP/1.1\r\n\r\n");
    expect(scene.asked).toHaveLength(1);
    expect(scene.written.split(OK)).toHaveLength(2);
    expect(scene.written).toContain("Connection: close");
    expect(scene.events).toEqual(["FIN"]);
  });

  test.each([
    "\r\n\r\n",
    "\0\r\n\r\n",
    "GET\r\n\r\n",
    "GET  / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1 \r\n\r\n",
    "GET / HTTP/1.1 x\r\n\r\n",
    "GET / HTTP/2.0\r\n\r\n",
    "GET / HTTP/1.2\r\n\r\n",
    "get / HTTP/1.1\r\n\r\n",
    "GET http://a/ HTTP/1.1\r\n\r\n",
    "GET * HTTP/1.1\r\n\r\n",
    " GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\n\r\n\r\n",
    "GET /\tHTTP/1.1\r\n\r\n",
  ])("closes without an answer after %j", async (text) => {
    const scene = await new Scene().send(text);
    expect([scene.asked, scene.written, scene.events]).toEqual([[], "", ["FIN"]]);
    scene.clock.advance(10_000);
    expect(scene.events).toEqual(["FIN", "RST"]);
  });

  test("a head of more than 16 KiB is refused, complete or not", async () => {
    const filler = "a".repeat(16 * 1024);
    for (const text of [`GET /${filler}`, `GET / HTTP/1.1\r\nx: ${filler}\r\n\r\n`]) {
      const scene = await new Scene().send(text);
      expect(scene.written).toStartWith("HTTP/1.1 431 ");
      expect(scene.asked).toEqual([]);
    }
  });

  test("the time for a request line grows with its length alone", async () => {
    // A quarter of a second each, when a regular expression did it.
    for (let i = 0; i < 400; i++) await new Scene().send(`GET /${"a".repeat(16_000)} x\r\n\r\n`);
  });

  test("a client that sends no request, or does not read, is ended after ten seconds", async () => {
    const silent = await new Scene().send("GET / HTT");
    silent.clock.advance(10_000);
    expect(silent.events).toEqual(["RST"]);

    const deaf = new Scene("x".repeat(100_000));
    deaf.capacity = 500;
    await deaf.send("GET / HTTP/1.1\r\n\r\n");
    expect(deaf.events).toEqual([]);
    expect(deaf.buffered.bytes).toBeGreaterThan(99_000);
    deaf.clock.advance(10_000);
    expect(deaf.events).toEqual(["RST"]);
    deaf.client.closed();
    expect([deaf.buffered.bytes, deaf.clock.pending]).toEqual([0, 0]);
  });

  test("an answer is written as the client reads it", async () => {
    const scene = new Scene("x".repeat(1000));
    scene.capacity = 10;
    await scene.send("GET / HTTP/1.1\r\n\r\n");
    scene.client.writable();
    scene.capacity = Number.POSITIVE_INFINITY;
    scene.client.ended();
    scene.client.writable();
    scene.client.writable();
    expect(scene.written).toEndWith(`\r\n\r\n${"x".repeat(1000)}`);
    expect(scene.events).toEqual(["FIN"]);
    expect(scene.buffered.bytes).toBe(0);
  });

  test("a client that vanishes while its answer is made gets none", async () => {
    const scene = new Scene();
    scene.client.received(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    scene.client.closed();
    await Bun.sleep(0);
    expect([scene.written, scene.buffered.bytes, scene.clock.pending]).toEqual(["", 0, 0]);
  });
});

describe("HttpRoutes", () => {
  test("clients that ask at the same time share one request to a member, and one answer", async () => {
    let fetched = 0;
    let probed = 0;
    const memberMetrics = {
      async fetch() {
        fetched++;
        await Bun.sleep(1);
        return textAnswer(200, "metrics");
      },
    };
    const client = {
      async probe() {
        probed++;
        await Bun.sleep(1);
      },
    };
    const routes = new HttpRoutes(client as never, memberMetrics as never, () => []);
    const asked = ["/metrics", "/health", "/proxy/metrics"];
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, i) => routes.answer("GET", asked[i % 3]!)),
    );
    expect([fetched, probed]).toEqual([1, 1]);
    expect(new Set(answers).size).toBe(3);
    await routes.answer("GET", "/metrics");
    expect(fetched).toBe(2);
  });

  test("a failure is not kept", async () => {
    let count = 0;
    const memberMetrics = {
      fetch: async () => {
        if (count++ === 0) throw new Error("failed");
        return textAnswer(200, "");
      },
    };
    const routes = new HttpRoutes({} as never, memberMetrics as never, () => []);
    await expect(routes.answer("GET", "/metrics")).rejects.toThrow("failed");
    expect((await routes.answer("GET", "/metrics")).status).toBe(200);
  });
});
