// The certificates and TLS servers of the other tests, themselves, as a client
// of Node's sees them.
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

/** What a server says to a client that expects it to be `name`, or why it was not let. */
async function hear(port: number, name = "a.test", pair?: KeyPair): Promise<string> {
  let heard = "";
  let error: string | undefined;
  const identity = pair && { cert: readFileSync(pair.cert), key: readFileSync(pair.key) };
  const ca = readFileSync(authority.cert);
  const socket = tls.connect({ host: "127.0.0.1", port, servername: name, ca, ...identity });
  socket.on("data", (chunk) => {
    heard += chunk;
  });
  socket.on("error", (cause: Error & { code?: string }) => {
    error = cause.code ?? cause.message;
  });
  const closed = new Promise((resolve) => socket.on("close", resolve));
  await closed;
  return error ?? heard;
}

describe("Authority.issue()", () => {
  const names = ["DNS:a.test", "DNS:*.b.test", "IP:127.0.0.1"];
  test.each<[what: string, options: IssueOptions, outcome: string]>([
    ["for its names", {}, "127.0.0.1"],
    ["for others", { names: ["DNS:c.test"] }, "ERR_TLS_CERT_ALTNAME_INVALID"],
    ["expired", { period: "past" }, "CERT_HAS_EXPIRED"],
    ["not yet valid", { period: "future" }, "CERT_NOT_YET_VALID"],
    ["self-signed", { isSelfSigned: true }, "DEPTH_ZERO_SELF_SIGNED_CERT"],
    ["by an intermediate", { intermediate: "shown" }, "127.0.0.1"],
    ["by one, expired", { intermediate: "shown", period: "past" }, "CERT_HAS_EXPIRED"],
    ["by one that is missing", { intermediate: "missing" }, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
  ])("a certificate %s", async (_, options, outcome) => {
    const pair = await authority.issue("server", { names, ...options });
    const server = closers.add(await TlsServer.start(pair));
    expect(await hear(server.port)).toBe(outcome);
    expect(server.connections).toBe(1);
  }); // prettier-ignore

  test("what it says is what was wished, also of several at once", async () => {
    const wishes: IssueOptions[] = [{}, { names }, { names, period: "past" }, { period: "future" }];
    const pairs = await Promise.all(wishes.map((wish, i) => authority.issue(`server${i}`, wish)));
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
  test("counts connections, and of them the handshakes that it accepted", async () => {
    const pair = await authority.issue("server", { names: ["DNS:a.test"] });
    const other = closers.add(await Authority.create());
    const stranger = await other.issue("client");
    const server = closers.add(await TlsServer.start(pair, { clientCa: authority.cert }));
    expect(await hear(server.port, "a.test", await authority.issue("client"))).toBe("127.0.0.1");
    expect(await hear(server.port)).toContain("ALERT");
    expect(await hear(server.port, "a.test", stranger)).not.toBe("127.0.0.1");
    const peer = await Peer.connect(server.port);
    await until(() => server.connections === 4, "all were counted");
    peer.reset();
    expect(server.handshakes).toBe(1);
  });

  test("plaintext() and mute() are no TLS servers", async () => {
    const plaintext = closers.add(await TlsServer.plaintext());
    expect(await hear(plaintext.port)).toBe("ERR_SSL_WRONG_VERSION_NUMBER");
    const mute = closers.add(await TlsServer.mute({ host: "127.0.0.2" }));
    const peer = await Peer.connect(mute.port, "127.0.0.2");
    await peer.send(100);
    await peer.acknowledged();
    peer.reset();
    expect([peer.receivedBytes, mute.connections, mute.handshakes]).toEqual([0, 1, 0]);
  });
});
