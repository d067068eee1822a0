// The certificates and TLS servers that other tests use, seen by a client of node:tls.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import tls from "node:tls";
import { Closers } from "./gateway-command.ts";
import { Peer, until } from "./peer.ts";
import { Authority, type IssueOptions, type KeyPair } from "./tls-certificates.ts";
import { TlsServer } from "./tls-server.ts";

const closers = new Closers();
let authority: Authority;
beforeEach(async () => {
  authority = closers.add(await Authority.create());
});
afterEach(() => closers.close());

/** Connects, verifies the server as `name`, and resolves with its greeting or an error code. */
async function connect(port: number, name = "a.test", pair?: KeyPair): Promise<string> {
  let received = "";
  let error: string | undefined;
  const identity = pair && { cert: readFileSync(pair.cert), key: readFileSync(pair.key) };
  const ca = readFileSync(authority.cert);
  const socket = tls.connect({ host: "127.0.0.1", port, servername: name, ca, ...identity });
  socket.on("data", (chunk) => {
    received += chunk;
  });
  socket.on("error", (cause: Error & { code?: string }) => {
    error = cause.code ?? cause.message;
  });
  const closed = new Promise((resolve) => socket.on("close", resolve));
  await closed;
  return error ?? received;
}

describe("Authority.issue()", () => {
  const names = ["DNS:a.test", "DNS:*.b.test", "IP:127.0.0.1"];
  test.each<[what: string, options: IssueOptions, outcome: string]>([
    ["for its names", {}, "127.0.0.1"],
    ["for other names", { names: ["DNS:c.test"] }, "ERR_TLS_CERT_ALTNAME_INVALID"],
    ["expired", { period: "past" }, "CERT_HAS_EXPIRED"],
    ["not yet valid", { period: "future" }, "CERT_NOT_YET_VALID"],
    ["self-signed", { isSelfSigned: true }, "DEPTH_ZERO_SELF_SIGNED_CERT"],
    ["signed by an intermediate", { intermediate: "shown" }, "127.0.0.1"],
    ["signed by an intermediate, expired", { intermediate: "shown", period: "past" }, "CERT_HAS_EXPIRED"],
    ["signed by a missing intermediate", { intermediate: "missing" }, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
  ])("creates a certificate %s", async (_, options, outcome) => {
    const pair = await authority.issue("server", { names, ...options });
    const server = closers.add(await TlsServer.start(pair));
    expect(await connect(server.port)).toBe(outcome);
    expect(server.connections).toBe(1);
  }); // prettier-ignore

  test("creates several certificates at once, each with the requested contents", async () => {
    const options: IssueOptions[] = [
      {},
      { names },
      { names, period: "past" },
      { period: "future" },
    ];
    const pairs = await Promise.all(options.map((each, i) => authority.issue(`server${i}`, each)));
    const certificates = pairs.map(({ cert }) => new X509Certificate(readFileSync(cert)));
    const loopback = "IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, DNS:localhost";
    const named = "DNS:a.test, DNS:*.b.test, IP Address:127.0.0.1";
    expect(certificates.map(({ subject, subjectAltName }) => [subject, subjectAltName])).toEqual([
      ["CN=server0", loopback],
      ["CN=server1", named],
      ["CN=server2", named],
      ["CN=server3", loopback],
    ]);
    expect(certificates.map(({ validTo }) => new Date(validTo).getUTCFullYear()).slice(2)).toEqual([
      2020, 2090,
    ]);
  });
});

describe("TlsServer", () => {
  test("counts connections, and the handshakes that it accepted", async () => {
    const pair = await authority.issue("server", { names: ["DNS:a.test"] });
    const other = closers.add(await Authority.create());
    const foreign = await other.issue("client");
    const server = closers.add(await TlsServer.start(pair, { clientCa: authority.cert }));
    expect(await connect(server.port, "a.test", await authority.issue("client"))).toBe("127.0.0.1");
    expect(await connect(server.port)).toContain("ALERT");
    expect(await connect(server.port, "a.test", foreign)).not.toBe("127.0.0.1");
    const peer = await Peer.connect(server.port);
    await until(() => server.connections === 4, "all connections were counted");
    peer.reset();
    expect(server.handshakes).toBe(1);
  });

  test("plaintext() and mute() do not complete a handshake", async () => {
    const plaintext = closers.add(await TlsServer.plaintext());
    expect(await connect(plaintext.port)).toBe("ERR_SSL_WRONG_VERSION_NUMBER");
    const mute = closers.add(await TlsServer.mute({ host: "127.0.0.2" }));
    const peer = await Peer.connect(mute.port, "127.0.0.2");
    await peer.send(100);
    await peer.acknowledged();
    peer.reset();
    expect([peer.receivedBytes, mute.connections, mute.handshakes]).toEqual([0, 1, 0]);
  });
});
