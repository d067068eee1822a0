// The certificate of --auto-tls: what it holds, which clients accept it, and when it is
// created again.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { hostname, networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { StartError } from "../../src/core/start-error.ts";
import { systemClock } from "../../src/os/clock.ts";
import { AutoTls, type AutoTlsOptions } from "../../src/os/auto-tls.ts";
import { createSelfSigned } from "../../src/os/self-signed.ts";
import { Closers, output, requireTool } from "../support/gateway-command.ts";
import { GoTls } from "../support/go-tls.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { until } from "../support/peer.ts";
import { createScene } from "../support/scene.ts";
import { clientSettings, serverSettings } from "../support/tls-context.ts";
import { socketsClosed, dialTls, TlsListener } from "../support/tls-scene.ts";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const START = Date.UTC(2026, 5, 1);

const closers = new Closers();
closers.defer(socketsClosed());
let root: string;
let go: GoTls | undefined;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "etcd-gateway-auto-"));
  closers.defer(() => rm(root, { recursive: true, force: true }));
  go = await GoTls.build();
  if (go !== undefined) closers.add(go);
}, 120_000);
afterAll(() => closers.close());

const scene = createScene();
afterEach(() => scene.close());

/** Starts --auto-tls at `START`, in a new folder unless one is given. */
async function start(options: Partial<AutoTlsOptions> = {}) {
  const clock = new ManualClock();
  const log: string[] = [];
  let now = START;
  const subject = scene.keep(
    new AutoTls(
      {
        dataDir: await mkdtemp(join(root, "data-")),
        ...{ listenHost: "127.0.0.1", validityYears: 1, clock, wallClock: () => now },
        ...options,
      },
      {
        created: (_, notAfter) => log.push(notAfter),
        failed: (message) => log.push(message),
      },
    ),
  );
  await subject.start();
  const read = () => new X509Certificate(readFileSync(subject.certFile));
  /** Lets `days` pass, with one check at their end. */
  const pass = async (days: number) => {
    now += days * DAY_MS;
    clock.advance(HOUR_MS);
    await until(() => clock.pending === 1, "the certificate was checked");
  };
  return { subject, log, read, pass };
}

describe("createSelfSigned()", () => {
  const options = { names: ["a.test", "127.0.0.1", "fd00::1:2"], notBefore: START, notAfter: START + DAY_MS };

  test("creates a certificate that OpenSSL and node:crypto read completely", async () => {
    const { cert, key } = createSelfSigned(options);
    const certificate = new X509Certificate(cert);
    expect(certificate.checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate).toMatchObject({
      ...{ subject: "O=etcd", issuer: "O=etcd", ca: true },
      ...{ validFrom: "Jun  1 00:00:00 2026 GMT", validTo: "Jun  2 00:00:00 2026 GMT" },
      subjectAltName: "DNS:a.test, IP Address:127.0.0.1, IP Address:FD00:0:0:0:0:0:1:2",
    });
    const text = await output([requireTool("openssl"), "x509", "-noout", "-text"], { input: cert });
    for (const line of ["Version: 3 (0x2)", "NIST CURVE: P-521", "CA:TRUE", "TLS Web Server Authentication"])
      expect(text).toContain(line);
    expect(text).toContain("Digital Signature, Certificate Sign");
  });

  test("gives each certificate another serial number", () => {
    const serials = Array.from({ length: 20 }, () => new X509Certificate(createSelfSigned(options).cert).serialNumber);
    expect(new Set(serials).size).toBe(20);
    for (const serial of serials) expect(serial).toMatch(/^[0-9A-F]+$/); // none is negative
  });

  test("writes times from 2050 on as RFC 5280 wants", () => {
    const at = (year: number) =>
      new X509Certificate(createSelfSigned({ ...options, notAfter: Date.UTC(year, 0, 1) }).cert).validTo;
    expect([at(2049), at(2050), at(2126)]).toEqual([
      "Jan  1 00:00:00 2049 GMT",
      "Jan  1 00:00:00 2050 GMT",
      "Jan  1 00:00:00 2126 GMT",
    ]);
  });
}); // prettier-ignore

describe("AutoTls.start()", () => {
  test("creates a certificate for the listen address and the machine's names, and a private key", async () => {
    const { subject, read, log } = await start({ listenHost: "proxy.test", validityYears: 2 });
    const certificate = read();
    const names = ["proxy.test", "localhost", hostname()].filter((name) => !name.includes(" "));
    for (const name of names) expect(certificate.checkHost(name)).toBeDefined();
    const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
    for (const { address } of addresses.filter(({ address }) => !address.startsWith("fe80")))
      expect(certificate.checkIP(address)).toBeDefined();
    expect(certificate.validTo).toBe("May 31 00:00:00 2028 GMT"); // 730 days
    expect(log).toEqual(["2028-05-31T00:00:00.000Z"]);

    expect(subject.keyFile).toEndWith("/fixtures/proxy/key.pem");
    expect(statSync(subject.keyFile).mode & 0o777).toBe(0o600);
    expect(readFileSync(subject.keyFile, "utf8")).toStartWith("-----BEGIN EC PRIVATE KEY-----");
  });

  test("reuses a valid certificate", async () => {
    const dataDir = await mkdtemp(join(root, "reused-"));
    const first = (await start({ dataDir })).read().serialNumber;
    const { read, log } = await start({ dataDir });
    expect([read().serialNumber, log]).toEqual([first, []]);
  });

  test.each<[what: string, spoil: (certFile: string, keyFile: string) => void]>([
    ["is damaged", (certFile) => writeFileSync(certFile, "x")],
    ["has the key of another", (_, keyFile) => writeFileSync(keyFile, createSelfSigned({ names: [], notBefore: START, notAfter: START }).key)],
    ["has no key", (_, keyFile) => writeFileSync(keyFile, "")],
  ])("replaces a certificate that %s", async (_, spoil) => {
    const dataDir = await mkdtemp(join(root, "spoilt-"));
    const { subject, read } = await start({ dataDir });
    const first = read().serialNumber;
    spoil(subject.certFile, subject.keyFile);
    chmodSync(subject.keyFile, 0o644);
    await start({ dataDir });
    expect(read().serialNumber).not.toBe(first);
    expect(statSync(subject.keyFile).mode & 0o777).toBe(0o600);
  }); // prettier-ignore

  test("replaces a certificate that lacks the listen address, but not one for every address", async () => {
    const dataDir = await mkdtemp(join(root, "moved-"));
    const first = (await start({ dataDir })).read().serialNumber;
    expect((await start({ dataDir, listenHost: "" })).read().serialNumber).toBe(first);
    expect((await start({ dataDir, listenHost: "::" })).read().serialNumber).toBe(first);
    const { read } = await start({ dataDir, listenHost: "203.0.113.7" });
    expect(read().serialNumber).not.toBe(first);
    expect(read().checkIP("203.0.113.7")).toBeDefined();
  });

  test("fails if the folder cannot be written", async () => {
    const dataDir = join(root, "file");
    writeFileSync(dataDir, "");
    const error = await start({ dataDir }).catch((cause) => cause);
    expect(error).toBeInstanceOf(StartError);
    const folder = join(dataDir, "fixtures", "proxy");
    expect(error.message).toStartWith(`Cannot create a self-signed certificate in "${folder}": ENOTDIR`);
  }); // prettier-ignore
});

describe("AutoTls, while it runs", () => {
  test("renews when a tenth of the life remains", async () => {
    const { read, pass, log } = await start({ validityYears: 10 });
    const first = read().serialNumber;
    await pass(3284);
    expect(read().serialNumber).toBe(first);
    await pass(2);
    expect(read().serialNumber).not.toBe(first);
    expect(log).toHaveLength(2);
  });

  test("logs a failed renewal, and tries again", async () => {
    const { subject, read, pass, log } = await start();
    const first = read().serialNumber;
    mkdirSync(`${subject.keyFile}.new`);
    await pass(360);
    expect(log.slice(1)).toEqual([
      expect.stringMatching(/^cannot renew the self-signed certificate ".*cert\.pem": EISDIR/),
    ]);
    await rm(`${subject.keyFile}.new`, { recursive: true });
    await pass(0);
    expect(read().serialNumber).not.toBe(first);
  });
});

describe("AutoTls, with clients that take its certificate for the CA", () => {
  /** Serves the certificate; each client gets an end. */
  async function serve() {
    const { subject } = await start({ clock: systemClock, wallClock: () => Date.now() });
    const settings = await serverSettings({ cert: subject.certFile, key: subject.keyFile });
    const listener = scene.keep(new TlsListener(() => settings));
    listener.onSecured = ({ peer }) => peer.shutdown();
    return { ca: subject.certFile, port: listener.port };
  }

  test("our own dial accepts it", async () => {
    const { ca, port } = await serve();
    const dial = await clientSettings({ ca, names: ["127.0.0.1"] });
    const { peer, session } = await dialTls(port, dial);
    expect([session.version, await peer.gone()]).toEqual(["TLSv1.3", "end"]);
    peer.reset();
  });

  test.each(["-tls1_2", "-tls1_3"])("openssl %s accepts it", async (version) => {
    const { ca, port } = await serve();
    const words = ["s_client", "-connect", `127.0.0.1:${port}`, "-CAfile", ca, version];
    const checks = ["-verify_return_error", "-verify_ip", "127.0.0.1"];
    expect(await output([requireTool("openssl"), ...words, ...checks])).toContain("Verification: OK");
  }); // prettier-ignore

  test.each([
    ["TLS 1.2", 0x0303],
    ["TLS 1.3", 0x0304],
  ])("Go accepts it under %s", async (version, max) => {
    if (go === undefined) return;
    const { ca, port } = await serve();
    for (const name of ["127.0.0.1", "localhost"]) {
      const flags = { address: `127.0.0.1:${port}`, ca, name, "max-version": max };
      expect(await go.connect(flags)).toMatchObject({ version, error: "" });
    }
  });
});
