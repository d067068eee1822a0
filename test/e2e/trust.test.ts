// Which certificates --trusted-ca-file makes the gateway accept, compared with etcdctl
// (Go's crypto/x509) with the same file, against the same etcd.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNetwork } from "../../src/commands/network.ts";
import { freePorts } from "../support/free-port.ts";
import { Closers, Command, requireTool, run } from "../support/gateway-command.ts";
import { gatewayBinary } from "../support/gateway-process.ts";
import { until } from "../support/peer.ts";
import { Authority, type KeyPair } from "../support/tls-certificates.ts";

setDefaultTimeout(120_000);

const closers = new Closers();
afterAll(() => closers.close());

const folder = mkdtempSync(join(tmpdir(), "etcd-gateway-trust-"));
closers.defer(() => rmSync(folder, { recursive: true, force: true }));

/** Certificates that a CA file of the table may have, by their name there. */
const pairs = new Map<string, KeyPair>();
/** etcd servers, by the name of their certificate chain in the table. */
const servers = new Map<string, { readonly etcd: Command; readonly port: number }>();

beforeAll(async () => {
  const authority = closers.add(await Authority.create());
  const other = closers.add(await Authority.create());
  const add = (name: string, pair: KeyPair) => pairs.set(name, pair).get(name)!;
  const root = add("root", authority.pair);
  add("another root", other.pair);
  const inter = add("intermediate", await authority.certify("i", { section: "authority", signer: root }));
  const past = { section: "authority", signer: root, period: "past", subject: "i" } as const;
  add("expired intermediate", await authority.renew("expired", inter, past));
  const namesake = { section: "authority", signer: root, subject: "i" } as const;
  add("intermediate of the same name with another key", await authority.certify("namesake", namesake));
  const leaf = add("leaf", await authority.certify("leaf", { section: "leaf", signer: inter }));
  const client = add("client", await authority.certify("client", { section: "client", signer: inter }));
  const old = await authority.certify("old", { section: "leaf", signer: inter, period: "past" });
  add("expired leaf", old);
  const limited = add("limited", await authority.certify("limited", { section: "limited", signer: root }));
  const sub = add("below limited", await authority.certify("sub", { section: "authority", signer: limited }));
  const deep = await authority.certify("deep", { section: "leaf", signer: sub });
  const constrained = add("constrained", await authority.certify("constrained", { section: "constrained", signer: root }));
  const outside = await authority.certify("outside", { section: "leaf", signer: constrained });
  const below = await authority.certify("below", { section: "leaf", signer: leaf });

  const pretender = add(
    "not a CA",
    await authority.certify("pretender", { section: "pretender", signer: root }),
  );
  const fake = await authority.certify("fake", { section: "leaf", signer: pretender });

  const shown: [server: string, chain: readonly KeyPair[]][] = [
    ["leaf and intermediate", [leaf, inter]],
    ["leaf alone", [leaf]],
    ["leaf below a leaf", [below, leaf, inter]],
    ["leaf below a certificate that is not a CA", [fake, pretender]],
    ["leaf beyond the path length", [deep, sub, limited]],
    ["leaf outside its name constraints", [outside, constrained]],
    ["client certificate", [client, inter]],
    ["expired leaf", [old, inter]],
  ];
  const ports = freePorts(2 * shown.length);
  for (const [i, [server, chain]] of shown.entries()) {
    const [port, peerPort] = [ports[2 * i]!, ports[2 * i + 1]!];
    servers.set(server, { etcd: startEtcd(`server${i}`, chain, port, peerPort), port });
  }
  for (const { etcd } of servers.values())
    await until(() => etcd.stderr.includes("serving client traffic securely"), "etcd was ready", 60_000);
}); // prettier-ignore

/** Starts an etcd whose clients receive `chain`. */
function startEtcd(
  name: string,
  chain: readonly KeyPair[],
  port: number,
  peerPort: number,
): Command {
  const cert = join(folder, `${name}.pem`);
  writeFileSync(cert, chain.map((pair) => readFileSync(pair.cert, "utf8")).join(""));
  const [url, peerUrl] = [`https://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`];
  const env = process.arch === "arm64" ? { ETCD_UNSUPPORTED_ARCH: "arm64" } : {};
  return closers.add(
    new Command(
      [
        ...[requireTool("etcd"), "--name", name, "--data-dir", join(folder, name), "--logger=zap"],
        ...["--listen-client-urls", url, "--advertise-client-urls", url],
        ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
        ...["--initial-cluster", `${name}=${peerUrl}`],
        ...["--cert-file", cert, "--key-file", chain[0]!.key],
      ],
      { env },
    ),
  );
}

/** Writes a file with the certificates of these names, and returns its path. */
function caFile(names: readonly string[]): string {
  const path = join(folder, `${names.join("+").replaceAll(" ", "-")}.pem`);
  writeFileSync(path, names.map((name) => readFileSync(pairs.get(name)!.cert, "utf8")).join(""));
  return path;
}

const REJECTED = /authentication handshake failed: x509: /;

/** Whether etcdctl accepts the server. It retries, and only --debug shows that it rejected it. */
async function etcdctlAccepts(ca: string, port: number): Promise<boolean> {
  const limits = ["--debug", "--dial-timeout=60s", "--command-timeout=60s"];
  const words = [`--endpoints=https://127.0.0.1:${port}`, `--cacert=${ca}`, ...limits, "get", "a"];
  const command = new Command([requireTool("etcdctl"), ...words], { env: { ETCDCTL_API: "3" } });
  try {
    const isDecided = () => command.status !== undefined || REJECTED.test(command.stderr);
    await until(isDecided, "etcdctl had decided", 60_000);
    if (!REJECTED.test(command.stderr)) expect(command.status).toBe(0);
    return command.status === 0;
  } finally {
    await command.close();
  }
}

/** Returns the error of `check` for the member list; undefined if it was read. */
async function errorOfCheck(ca: string, port: number, env = {}): Promise<string | undefined> {
  const flags = ["--endpoints-auto-sync-interval=1s", "--dial-timeout=30s", "--output=json"];
  const words = [`--endpoints=https://127.0.0.1:${port}`, `--trusted-ca-file=${ca}`, ...flags];
  const { stdout } = await run([gatewayBinary(), "check", ...words], { env });
  return JSON.parse(stdout).errors[0];
}

async function handshakeSucceeds(ca: string, port: number): Promise<boolean> {
  const tls = { trustedCaFile: ca, certFile: undefined, keyFile: undefined };
  const address = { host: "127.0.0.1", port };
  const done = createNetwork({}).verify(address, [address.host], { tls, timeoutMs: 30_000 });
  return await done.then(
    () => true,
    () => false,
  );
}

const UNKNOWN = "its certificate is signed by an unknown authority";

const PURPOSE = "its certificate is not for servers, or its issuer is not an authority";

describe("--trusted-ca-file decides as etcdctl's --cacert does", () => {
  const rows: [server: string, anchors: string[], error?: string][] = [
    ["leaf and intermediate", ["root"]],
    ["leaf and intermediate", ["intermediate"]],
    ["leaf and intermediate", ["leaf"]],
    ["leaf and intermediate", ["another root", "intermediate"]],
    ["leaf and intermediate", ["intermediate", "another root"]],
    ["leaf and intermediate", ["another root"], UNKNOWN],
    ["leaf and intermediate", ["expired intermediate"], "its certificate has expired"],
    ["leaf and intermediate", ["expired intermediate", "root"]],
    ["leaf and intermediate", ["intermediate of the same name with another key"], UNKNOWN],
    ["leaf and intermediate", ["intermediate of the same name with another key", "intermediate"]],
    ["leaf alone", ["root"], UNKNOWN],
    ["leaf alone", ["intermediate"]],
    ["leaf alone", ["root", "intermediate"]],
    ["leaf alone", ["leaf"]],
    ["leaf alone", ["expired intermediate"], "its certificate has expired"],
    ["leaf alone", ["intermediate of the same name with another key"], UNKNOWN],
    ["leaf below a leaf", ["root"], UNKNOWN],
    ["leaf below a leaf", ["intermediate"], UNKNOWN],
    ["leaf below a leaf", ["leaf"], UNKNOWN],
    ["leaf below a certificate that is not a CA", ["root"], PURPOSE],
    ["leaf below a certificate that is not a CA", ["not a CA"], PURPOSE],
    ["leaf beyond the path length", ["root"], "path length constraint exceeded"],
    ["leaf beyond the path length", ["limited"], "path length constraint exceeded"],
    ["leaf beyond the path length", ["below limited"]],
    ["leaf outside its name constraints", ["root"], "permitted subtree violation"],
    ["leaf outside its name constraints", ["constrained"], "permitted subtree violation"],
    ["client certificate", ["root"], PURPOSE],
    ["client certificate", ["intermediate"], PURPOSE],
    ["client certificate", ["client"], PURPOSE],
    ["expired leaf", ["intermediate"], "its certificate has expired"],
    ["expired leaf", ["expired leaf"], "its certificate has expired"],
  ];
  test.each(rows)(
    "with the server's chain %s and the file's certificates %p",
    async (name, anchors, ...[error]) => {
      const server = servers.get(name)!;
      const ca = caFile(anchors);
      const foundError = await errorOfCheck(ca, server.port);
      const isAccepted = error === undefined;
      expect({
        etcdctl: await etcdctlAccepts(ca, server.port),
        handshake: await handshakeSucceeds(ca, server.port),
        memberList: foundError === undefined,
      }).toEqual({ etcdctl: isAccepted, handshake: isAccepted, memberList: isAccepted });
      if (error !== undefined) expect(foundError).toContain(error);
    },
  );
});

test("--trusted-ca-file is the only source of trust, whatever the environment sets", async () => {
  const { port } = servers.get("leaf and intermediate")!;
  const root = pairs.get("root")!.cert;
  const env = {
    NODE_EXTRA_CA_CERTS: root,
    SSL_CERT_FILE: root,
    NODE_USE_SYSTEM_CA: "1",
    NODE_TLS_REJECT_UNAUTHORIZED: "0",
  };
  expect(await errorOfCheck(caFile(["another root"]), port, env)).toContain(UNKNOWN);
});
