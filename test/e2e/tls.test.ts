// TLS between clients and a cluster through the compiled gateway, which has no key and
// relays the bytes unchanged.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect } from "node:tls";
import { etcdctl, EtcdCluster } from "../support/etcd-cluster.ts";
import { Closers } from "../support/gateway-command.ts";
import { GatewayProcess } from "../support/gateway-process.ts";
import { streamBytes, until } from "../support/peer.ts";
import { Authority, type KeyPair } from "../support/tls-certificates.ts";

setDefaultTimeout(60_000);

const closers = new Closers();
let authority: Authority;
let otherAuthority: Authority;
let server: KeyPair;
let client: KeyPair;
let foreignClient: KeyPair;
let cluster: EtcdCluster;
let gateway: GatewayProcess;

beforeAll(async () => {
  authority = closers.add(await Authority.create());
  otherAuthority = closers.add(await Authority.create());
  server = await authority.issue("server");
  client = await authority.issue("client");
  foreignClient = await otherAuthority.issue("client");
  const tls = { ca: authority.cert, clientCert: client.cert, clientKey: client.key };
  cluster = closers.add(await EtcdCluster.start(3, { ...tls, ...server }));
  gateway = closers.add(await GatewayProcess.start([`--endpoints=${cluster.endpoints}`]));
});
afterAll(() => closers.close());

/** The result of one TLS connection through the gateway. */
interface Visit {
  /** SHA-256 of the server's certificate, if the client accepted it. */
  fingerprint: string | undefined;
  /** The response to a GET, if the visit had a path. */
  response: string;
  error: string | undefined;
}

/** Connects with TLS, and with a path sends a GET; resolves once the connection is closed. */
async function visit(ca: string, pair: KeyPair | undefined, path?: string): Promise<Visit> {
  const result: Visit = { fingerprint: undefined, response: "", error: undefined };
  let isClosed = false;
  const identity =
    pair === undefined ? {} : { cert: readFileSync(pair.cert), key: readFileSync(pair.key) };
  const socket = connect(
    { host: "127.0.0.1", port: gateway.port, ca: readFileSync(ca), ...identity },
    () => {
      result.fingerprint = socket.getPeerCertificate().fingerprint256;
      if (path !== undefined)
        socket.write(`GET ${path} HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n`);
    },
  );
  socket.on("data", (chunk) => {
    result.response += chunk;
  });
  socket.on("error", (error: Error & { code?: string }) => {
    result.error = error.code ?? error.message;
  });
  socket.on("close", () => {
    isClosed = true;
  });
  await until(() => isClosed, "the connection was closed");
  return result;
}

/** Returns the number of connections that etcd's members have rejected for this reason. */
function rejections(reason: string): number {
  const lines = cluster.members.flatMap(({ log }) => log.split("\n"));
  return lines.filter((line) => line.includes("rejected connection") && line.includes(reason))
    .length;
}

const sha256 = (text: string) => Bun.SHA256.hash(text, "hex");

test("etcdctl puts and gets a value of 1 MiB with a client certificate", async () => {
  const value = Buffer.from(streamBytes(0, (1 << 18) * 3)).toString("base64");
  const put = await cluster.etcdctl(gateway.address, ["put", "tls/mebibyte"], { input: value });
  expect(put).toMatchObject({ status: 0, stdout: "OK\n", stderr: "" });
  const get = ["get", "--print-value-only", "tls/mebibyte"];
  const got = await cluster.etcdctl(gateway.address, get);
  expect(got).toMatchObject({ status: 0, stderr: "" });
  expect(sha256(got.stdout)).toBe(sha256(`${value}\n`));
});

test("a client receives the certificate of the cluster", async () => {
  const { fingerprint, response, error } = await visit(authority.cert, client, "/version");
  expect(error).toBeUndefined();
  expect(response).toStartWith("HTTP/1.1 200 OK\r\n");
  expect(response).toContain('"etcdserver":');
  expect(fingerprint).toBe(new X509Certificate(readFileSync(server.cert)).fingerprint256);
});

test("etcd rejects a client without a certificate with a TLS alert", async () => {
  const reason = "tls: client didn't provide a certificate";
  const before = rejections(reason);
  const { response, error } = await visit(authority.cert, undefined);
  expect(response).toBe("");
  expect(error).toContain("_ALERT_");
  await until(() => rejections(reason) === before + 1, "etcd logged the rejection");

  const args = [`--cacert=${authority.cert}`, "--command-timeout=1s", "--dial-timeout=1s"];
  const { status, stderr } = await etcdctl(gateway.address, [...args, "get", "tls/mebibyte"]);
  expect(status).toBe(1);
  expect(stderr).toEndWith("Error: context deadline exceeded\n");
  await until(() => rejections(reason) > before + 1, "etcd logged another rejection");
});

test("etcd rejects a client certificate of another authority with a TLS alert", async () => {
  const reason = "tls: failed to verify client certificate";
  const before = rejections(reason);
  const { response, error } = await visit(authority.cert, foreignClient);
  expect(response).toBe("");
  expect(error).toContain("_ALERT_");
  await until(() => rejections(reason) === before + 1, "etcd logged the rejection");
});

test("a client that trusts another authority rejects the cluster's certificate", async () => {
  const reason = "remote error: tls: ";
  const before = rejections(reason);
  const { fingerprint, error } = await visit(otherAuthority.cert, client);
  expect({ fingerprint, error }).toEqual({
    fingerprint: undefined,
    error: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  });

  const tls = [`--cacert=${otherAuthority.cert}`, `--cert=${client.cert}`, `--key=${client.key}`];
  const limits = ["--command-timeout=1s", "--dial-timeout=1s"];
  const args = [...tls, ...limits, "get", "tls/mebibyte"];
  const { status, stderr } = await etcdctl(gateway.address, args);
  expect(status).toBe(1);
  expect(stderr).toEndWith("Error: context deadline exceeded\n");
  await until(() => rejections(reason) > before, "etcd logged the client's alert");
});

test("start logs nothing but its own start during all of this", () => {
  expect(gateway.log.map(({ msg }) => msg)).toEqual([
    "listening",
    "ready to proxy client requests",
  ]);
});
