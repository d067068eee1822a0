// TLS between a client and its cluster, with the compiled gateway in between:
// it holds no key, and neither side can tell that it is there.
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
let stranger: KeyPair;
let cluster: EtcdCluster;
let gateway: GatewayProcess;

beforeAll(async () => {
  authority = closers.add(await Authority.create());
  otherAuthority = closers.add(await Authority.create());
  server = await authority.issue("server");
  client = await authority.issue("client");
  stranger = await otherAuthority.issue("client");
  const tls = { ca: authority.cert, clientCert: client.cert, clientKey: client.key };
  cluster = closers.add(await EtcdCluster.start(3, { ...tls, ...server }));
  gateway = closers.add(await GatewayProcess.start([`--endpoints=${cluster.endpoints}`]));
});
afterAll(() => closers.close());

/** What one handshake through the gateway comes to; with a path also the answer to its GET. */
interface Visit {
  /** SHA-256 of the certificate that the server showed, if the client accepted it. */
  fingerprint: string | undefined;
  answer: string;
  error: string | undefined;
}

async function visit(ca: string, pair: KeyPair | undefined, path?: string): Promise<Visit> {
  const outcome: Visit = { fingerprint: undefined, answer: "", error: undefined };
  let isClosed = false;
  const identity =
    pair === undefined ? {} : { cert: readFileSync(pair.cert), key: readFileSync(pair.key) };
  const socket = connect(
    { host: "127.0.0.1", port: gateway.port, ca: readFileSync(ca), ...identity },
    () => {
      outcome.fingerprint = socket.getPeerCertificate().fingerprint256;
      if (path !== undefined)
        socket.write(`GET ${path} HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n`);
    },
  );
  socket.on("data", (chunk) => {
    outcome.answer += chunk;
  });
  socket.on("error", (error: Error & { code?: string }) => {
    outcome.error = error.code ?? error.message;
  });
  socket.on("close", () => {
    isClosed = true;
  });
  await until(() => isClosed, "the visit was over");
  return outcome;
}

/** How many connections etcd's members have refused for this reason. */
function refusals(reason: string): number {
  const lines = cluster.members.flatMap(({ log }) => log.split("\n"));
  return lines.filter((line) => line.includes("rejected connection") && line.includes(reason))
    .length;
}

const sha256 = (text: string) => Bun.SHA256.hash(text, "hex");

test("etcdctl with the client's certificate puts and gets, up to 1 MiB", async () => {
  const value = Buffer.from(streamBytes(0, (1 << 18) * 3)).toString("base64");
  const put = await cluster.etcdctl(gateway.address, ["put", "tls/mebibyte"], { input: value });
  expect(put).toMatchObject({ status: 0, stdout: "OK\n", stderr: "" });
  const get = ["get", "--print-value-only", "tls/mebibyte"];
  const got = await cluster.etcdctl(gateway.address, get);
  expect(got).toMatchObject({ status: 0, stderr: "" });
  expect(sha256(got.stdout)).toBe(sha256(`${value}\n`));
});

test("the certificate that a client sees is the cluster's own", async () => {
  const { fingerprint, answer, error } = await visit(authority.cert, client, "/version");
  expect(error).toBeUndefined();
  expect(answer).toStartWith("HTTP/1.1 200 OK\r\n");
  expect(answer).toContain('"etcdserver":');
  expect(fingerprint).toBe(new X509Certificate(readFileSync(server.cert)).fingerprint256);
});

test("a client without a certificate is refused by etcd, in a TLS alert", async () => {
  const reason = "tls: client didn't provide a certificate";
  const before = refusals(reason);
  const { answer, error } = await visit(authority.cert, undefined);
  expect(answer).toBe("");
  expect(error).toContain("_ALERT_");
  await until(() => refusals(reason) === before + 1, "etcd's log said so");

  const args = [`--cacert=${authority.cert}`, "--command-timeout=1s", "--dial-timeout=1s"];
  const { status, stderr } = await etcdctl(gateway.address, [...args, "get", "tls/mebibyte"]);
  expect(status).toBe(1);
  expect(stderr).toEndWith("Error: context deadline exceeded\n");
  await until(() => refusals(reason) > before + 1, "etcd's log said so again");
});

test("a client with another authority's certificate is refused by etcd, in a TLS alert", async () => {
  const reason = "tls: failed to verify client certificate";
  const before = refusals(reason);
  const { answer, error } = await visit(authority.cert, stranger);
  expect(answer).toBe("");
  expect(error).toContain("_ALERT_");
  await until(() => refusals(reason) === before + 1, "etcd's log said so");
});

test("a client that trusts another authority refuses the cluster", async () => {
  const reason = "remote error: tls: ";
  const before = refusals(reason);
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
  await until(() => refusals(reason) > before, "etcd's log said that the client refused");
});

test("the gateway had nothing to say of all this", () => {
  expect(gateway.log.map(({ msg }) => msg)).toEqual([
    "listening",
    "ready to proxy client requests",
  ]);
});
