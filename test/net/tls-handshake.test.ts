// TLS connections of real sockets, in both roles: our listener with our dial, with openssl
// and with Go, and what each end reports when the other breaks the rules.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { dlopen } from "bun:ffi";
import { writeSync } from "node:fs";
import net from "node:net";
import type { TlsSettings } from "../../src/core/tls.ts";
import { adoptConnecting, type TcpSocket } from "../../src/net/tcp-socket.ts";
import { TlsError, TlsHandshake } from "../../src/net/tls-handshake.ts";
import { systemClock } from "../../src/os/clock.ts";
import * as system from "../../src/os/tcp.ts";
import { Closers, Command, eventually, requireTool } from "../support/gateway-command.ts";
import { freePort } from "../support/free-port.ts";
import { GoTls } from "../support/go-tls.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Peer, PeerServer, streamBytes, until } from "../support/peer.ts";
import { randomFrom, seed } from "../support/random-input.ts";
import { createScene } from "../support/scene.ts";
import { Authority, type KeyPair } from "../support/tls-certificates.ts";
import { clientSettings, serverSettings } from "../support/tls-context.ts";
import {
  socketsClosed,
  dialTls,
  TlsListener,
  type TlsListenerOptions,
} from "../support/tls-scene.ts";

const MIB = 1 << 20;
const SHUT_WR = 1;

const { symbols: libc } = dlopen("libc.so.6", {
  shutdown: { args: ["i32", "i32"], returns: "i32" },
});

const closers = new Closers();
closers.defer(socketsClosed());
let authority: Authority;
let pair: KeyPair;
let clientPair: KeyPair;
let server: TlsSettings;
let client: TlsSettings;
let go: GoTls | undefined;
beforeAll(async () => {
  authority = closers.add(await Authority.create());
  pair = await authority.issue("server");
  clientPair = await authority.issue("client");
  server = await serverSettings(pair);
  client = await clientSettings({ ca: authority.cert });
  go = await GoTls.build();
  if (go !== undefined) closers.add(go);
}, 120_000);
afterAll(() => closers.close());

const scene = createScene();
const { keep } = scene;
afterEach(() => scene.close());

const listen = (settings = server, options?: TlsListenerOptions) =>
  keep(new TlsListener(() => settings, options));

/** Connects our dial to our listener. */
async function connect(settings = server, dialSettings = client) {
  const listener = listen(settings);
  const dialled = await dialTls(listener.port, dialSettings);
  scene.keep({ close: () => dialled.peer.reset() });
  return { listener, dialled, accepted: await listener.client() };
}

/** Gives a socket an owner that counts. */
function keepOwner(socket: TcpSocket) {
  const owner = {
    ...{ receivedBytes: 0, isEnded: false, isClosed: false },
    opened() {},
    received: (chunk: Uint8Array) => void (owner.receivedBytes += chunk.length),
    writable() {},
    ended: () => void (owner.isEnded = true),
    closed: () => void (owner.isClosed = true),
  };
  socket.data = owner;
  return owner;
}

/** Resolves once `peer` has `bytes`, and checks each of them. */
async function received(peer: Peer, bytes: number): Promise<void> {
  await until(() => peer.receivedBytes >= bytes, `${bytes} bytes arrived`);
  expect([peer.receivedBytes, peer.firstWrongByte]).toEqual([bytes, undefined]);
}

describe("TlsHandshake", () => {
  test("reports on both sides the protocol, the version and the peer's certificate", async () => {
    const settings = await serverSettings(pair, { trustedCaFile: authority.cert });
    const dial = await clientSettings({ ca: authority.cert, pair: clientPair });
    const { accepted, dialled } = await connect(settings, dial);
    const common = { alpnProtocol: "h2", version: "TLSv1.3" };
    expect(dialled.session).toMatchObject({ ...common, peer: { commonName: "server" } });
    expect(accepted.session).toMatchObject({ ...common, peer: { commonName: "client" } });
    expect(accepted.session.peer!.serialNumber).toMatch(/^[0-9A-F]{8,}$/);
  });

  test("reports no peer for a client that was not asked for a certificate", async () => {
    const { accepted } = await connect();
    expect(accepted.session.peer).toBeUndefined();
  });

  test("carries 32 MiB each way at the same time, byte for byte", async () => {
    const { accepted, dialled } = await connect();
    await Promise.all([accepted.peer.send(32 * MIB), dialled.peer.send(32 * MIB)]);
    await received(accepted.peer, 32 * MIB);
    await received(dialled.peer, 32 * MIB);
  });

  test("accepts only a few MiB for a peer that does not read, and loses none of them", async () => {
    const { accepted, dialled } = await connect();
    dialled.peer.pause();
    const before = process.memoryUsage.rss();
    void accepted.peer.send(32 * MIB);
    await accepted.peer.acknowledgedBytes();
    expect(accepted.peer.isSending).toBe(true);
    expect(accepted.peer.sentBytes).toBeLessThan(16 * MIB);
    expect(process.memoryUsage.rss() - before).toBeLessThan(24 * MIB);

    dialled.peer.resume();
    await received(dialled.peer, 32 * MIB);
  });

  test("serves others while one peer does not read", async () => {
    const { listener, accepted, dialled } = await connect();
    dialled.peer.pause();
    void accepted.peer.send(32 * MIB);
    await accepted.peer.acknowledgedBytes();

    const other = await dialTls(listener.port, client);
    scene.keep({ close: () => other.peer.reset() });
    await (await listener.client(1)).peer.send(32 * MIB);
    await received(other.peer, 32 * MIB);
    dialled.peer.resume();
    await received(dialled.peer, 32 * MIB);
  });

  test("sends close_notify at a shutdown, and still receives", async () => {
    const { accepted, dialled } = await connect();
    accepted.peer.shutdown();
    expect(await dialled.peer.gone()).toBe("end");
    await dialled.peer.send(MIB);
    await received(accepted.peer, MIB);
    dialled.peer.shutdown();
    await until(() => accepted.peer.isClosed && dialled.peer.isClosed, "both were closed");
    expect([...accepted.errors, ...dialled.errors]).toEqual([]);
  });

  test("delivers all that was accepted before a shutdown to a slow reader", async () => {
    const { accepted, dialled } = await connect();
    dialled.peer.pause();
    void accepted.peer.send(32 * MIB);
    await accepted.peer.acknowledgedBytes();
    const { sentBytes } = accepted.peer;
    accepted.peer.shutdown();
    dialled.peer.resume();
    expect(await dialled.peer.gone()).toBe("end");
    expect([dialled.peer.receivedBytes, dialled.peer.firstWrongByte]).toEqual([
      sentBytes,
      undefined,
    ]);
  });

  test("reports a reset by the peer", async () => {
    const { accepted, dialled } = await connect();
    dialled.peer.reset();
    expect(await accepted.peer.gone()).toBe("ECONNRESET");
  });

  test("the owner of the plain socket gets no event from the start of the handshake on", async () => {
    const listener = listen();
    const events: string[] = [];
    let plain: TcpSocket;
    const secured = Promise.withResolvers<TcpSocket>();
    const handshake = new TlsHandshake(
      systemClock,
      { settings: client, timeoutMs: 10_000 },
      { secured: (socket) => secured.resolve(socket), failed: secured.reject },
    );
    let isStarted = false;
    const note = (event: string) => () => {
      if (isStarted) events.push(event);
    };
    adoptConnecting(system.startConnect("127.0.0.1", listener.port), {
      opened: (socket) => {
        plain = socket;
      },
      writable: () => {
        note("writable")();
        if (isStarted) return;
        isStarted = true;
        handshake.start(plain);
      },
      ...{ received: note("received"), ended: note("ended"), closed: note("closed") },
    });
    const socket = await secured.promise;
    const owner = keepOwner(socket);
    const accepted = await listener.client();
    await accepted.peer.send(MIB);
    accepted.peer.shutdown();
    await until(() => owner.isEnded, "the end arrived");
    socket.shutdown();
    await until(() => owner.isClosed, "it was closed");
    expect([events, owner.receivedBytes]).toEqual([[], MIB]);
  });

  test("fails on both sides if they share no ALPN protocol", async () => {
    const listener = listen();
    const dial = await clientSettings({ ca: authority.cert, alpnProtocols: ["spdy/3"] });
    await expect(dialTls(listener.port, dial)).rejects.toMatchObject({
      code: "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
    });
    expect((await listener.failure()).code).toBe("ERR_SSL_NO_APPLICATION_PROTOCOL");
  });

  test("accepts a client without ALPN", async () => {
    const dial = await clientSettings({ ca: authority.cert, alpnProtocols: [] });
    const { accepted } = await connect(server, dial);
    expect(accepted.session.alpnProtocol).toBeUndefined();
  });

  test("abort() closes the socket without an event", async () => {
    const listener = listen();
    const peer = await Peer.connect(listener.port);
    await until(() => listener.handshakes.length === 1, "the client was accepted");
    listener.handshakes[0]!.abort();
    listener.handshakes[0]!.abort();
    expect(await peer.gone()).toBe("ECONNRESET");
    expect([listener.failures, listener.secured]).toEqual([[], []]);
  });

  test("times out if the peer is silent or stops in the middle, and closes the socket", async () => {
    const clock = new ManualClock();
    const listener = listen(server, { clock });
    const silent = await Peer.connect(listener.port);
    const halting = net.connect(listener.port, "127.0.0.1");
    halting.write(Buffer.from("1603010200010001fc0303", "hex"));
    await until(() => listener.handshakes.length === 2, "both were accepted");
    clock.advance(9999);
    expect(listener.failures).toEqual([]);
    clock.advance(1);
    expect(listener.failures.map(({ code }) => code)).toEqual(["ETIMEDOUT", "ETIMEDOUT"]);
    expect(await silent.gone()).toBe("ECONNRESET");
    expect(clock.pending).toBe(0);
    halting.destroy();
  });

  test("a dial times out if the server is silent", async () => {
    const mute = keep(new PeerServer());
    const clock = new ManualClock();
    const dialled = dialTls(mute.port, client, { clock });
    const peer = await mute.peer();
    clock.advance(10_000);
    await expect(dialled).rejects.toMatchObject({ code: "ETIMEDOUT" });
    expect(await peer.gone()).toBe("ECONNRESET");
  });

  test("a dial to a server without TLS fails", async () => {
    const plain = keep(new PeerServer());
    plain.onPeer = (peer) => void peer.send(100);
    await expect(dialTls(plain.port, client)).rejects.toThrow(TlsError);
    plain.onPeer = (peer) => peer.shutdown();
    await expect(dialTls(plain.port, client)).rejects.toMatchObject({ code: "ECONNRESET" });
  });
});

describe("TlsHandshake, with a client that breaks the rules", () => {
  const HELLO = "160301020001000200";
  test.each<[what: string, bytes: Buffer, code: string]>([
    ["HTTP without TLS", Buffer.from("GET /health HTTP/1.1\r\n\r\n"), "ERR_SSL_HTTP_REQUEST"],
    ["an HTTP/2 preface without TLS", Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "ERR_SSL_WRONG_VERSION_NUMBER"],
    ["a record of 65,535 bytes", Buffer.from("160301ffff01020304", "hex"), "ERR_SSL_ENCRYPTED_LENGTH_TOO_LONG"],
    ["400 KB of 0xff", Buffer.alloc(400_000, 0xff), "ERR_SSL_WRONG_VERSION_NUMBER"],
    ["application data first", Buffer.from("170303000401020304", "hex"), "ERR_SSL_UNEXPECTED_RECORD"],
    ["a handshake message of 16 MiB", Buffer.from("1603010004 01ffffff".replace(" ", ""), "hex"), "ERR_SSL_EXCESSIVE_MESSAGE_SIZE"],
    ["a hello that ends", Buffer.from(HELLO, "hex"), "ECONNRESET"],
    ["nothing but a FIN", Buffer.alloc(0), "ECONNRESET"],
  ])("fails for %s", async (_, bytes, code) => {
    const listener = listen();
    const socket = net.connect(listener.port, "127.0.0.1");
    socket.on("error", () => {}).resume();
    socket.end(bytes);
    expect((await listener.failure()).code).toBe(code);
    await until(() => socket.destroyed, "the client was closed");
    expect([listener.failures.length, listener.secured.length]).toEqual([1, 0]);
  }); // prettier-ignore

  test(`fails for random bytes, and leaves no descriptor (FUZZ_SEED=${seed})`, async () => {
    const listener = listen();
    const isClosed = socketsClosed();
    const random = randomFrom(seed);
    for (let i = 0; i < 200; i++) {
      const bytes = Buffer.from(Array.from({ length: random(300) }, () => random(256)));
      // Half of them begin as a ClientHello does.
      if (random(2) === 0) bytes.set(Buffer.from(HELLO, "hex").subarray(0, bytes.length));
      const socket = net.connect(listener.port, "127.0.0.1");
      socket.on("error", () => {}).resume();
      socket.end(bytes);
      await listener.failure(i);
      await until(() => socket.destroyed, "the client was closed");
    }
    expect([listener.failures.length, listener.secured.length]).toEqual([200, 0]);
    await isClosed();
  });

  test("reports a damaged record after the handshake, and a record that follows never arrives", async () => {
    const { accepted, dialled } = await connect();
    await dialled.peer.send(100);
    await received(accepted.peer, 100);
    writeSync(dialled.peer.fd, Buffer.from("1703030020".padEnd(74, "0"), "hex"));
    expect(await accepted.peer.gone()).toBe("ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC");
    expect(accepted.peer.receivedBytes).toBe(100);
    expect(accepted.errors).toHaveLength(1);
  });

  test("does not distinguish a FIN without close_notify from an end, and still sends", async () => {
    const { accepted, dialled } = await connect();
    await dialled.peer.send(100);
    libc.shutdown(dialled.peer.fd, SHUT_WR);
    expect(await accepted.peer.gone()).toBe("end");
    await received(accepted.peer, 100);
    await accepted.peer.send(MIB);
    await received(dialled.peer, MIB);
  });
});

describe("TlsHandshake, with openssl", () => {
  const openssl = (...words: string[]) => keep(new Command([requireTool("openssl"), ...words]));

  test.each(["-tls1_2", "-tls1_3"])("serves s_client %s", async (version) => {
    const listener = listen();
    const command = openssl(
      ...["s_client", "-connect", `127.0.0.1:${listener.port}`, version, "-alpn", "h2"],
      ...["-CAfile", authority.cert, "-verify_return_error", "-quiet", "-ign_eof"],
    );
    const { peer, session } = await listener.client();
    expect(session.alpnProtocol).toBe("h2");
    await peer.send(3 * MIB);
    peer.shutdown();
    expect(await command.exited()).toBe(0);
    expect(command.stdout.length).toBeGreaterThan(MIB); // it is not text
  });

  test.each(["-tls1_2", "-tls1_3"])(
    "dials s_server %s, which requires a certificate",
    async (version) => {
      const port = freePort();
      const command = openssl(
        ...["s_server", "-accept", `127.0.0.1:${port}`, version, "-alpn", "h2", "-quiet"],
        ...["-cert", pair.cert, "-key", pair.key, "-CAfile", authority.cert, "-Verify", "2"],
        ...["-verify_return_error", "-rev"],
      );
      const dial = await clientSettings({ ca: authority.cert, pair: clientPair });
      const { peer, session } = await eventually(() => dialTls(port, dial), "s_server listens");
      expect([session.alpnProtocol, session.peer?.commonName]).toEqual(["h2", "server"]);
      await peer.send(100);
      peer.shutdown();
      expect(await peer.gone()).toBe("end");
      await command.close();
    },
  );
});

describe.skipIf(Bun.which("go") === null)("TlsHandshake, with Go's client", () => {
  test.each([
    ["TLS 1.2", 0x0303],
    ["TLS 1.3", 0x0304],
  ])("carries 8 MiB each way under %s, and both ends are clean", async (version, max) => {
    const settings = await serverSettings(pair, { trustedCaFile: authority.cert });
    const listener = listen(settings);
    const flags = { ca: authority.cert, cert: clientPair.cert, key: clientPair.key };
    const address = `127.0.0.1:${listener.port}`;
    const outcome = go!.connect({ address, "max-version": max, ...flags }, streamBytes(0, 8 * MIB));
    const { peer, errors } = await listener.client();
    await peer.send(8 * MIB);
    await received(peer, 8 * MIB);
    peer.shutdown();
    expect(await outcome).toMatchObject({
      ...{ version, protocol: "h2", received: 8 * MIB, error: "" },
      sha256: new Bun.CryptoHasher("sha256").update(streamBytes(0, 8 * MIB)).digest("hex"),
    });
    expect([await peer.gone(), errors]).toEqual(["end", []]);
  });
});
