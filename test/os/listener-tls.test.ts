// The TLS settings of a listener: which clients its files admit, and what happens when the
// files change or become unusable.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ListenerTlsOptions } from "../../src/os/listener-files.ts";
import { ListenerTls } from "../../src/os/listener-tls.ts";
import { TlsFileError } from "../../src/os/tls.ts";
import { Closers, output, requireTool } from "../support/gateway-command.ts";
import { GoTls } from "../support/go-tls.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { until } from "../support/peer.ts";
import { createScene } from "../support/scene.ts";
import { Authority, type KeyPair } from "../support/tls-certificates.ts";
import {
  type ClientOptions,
  clientSettings,
  listenerOptions,
  serverSettings,
} from "../support/tls-context.ts";
import { socketsClosed, dialTls, type SecuredEnd, TlsListener } from "../support/tls-scene.ts";

const CHECK_MS = 1000;

const closers = new Closers();
closers.defer(socketsClosed());
let folder: string;
let authority: Authority;
let pair: KeyPair;
let good: KeyPair;
let revoked: KeyPair;
let go: GoTls | undefined;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "etcd-gateway-listener-"));
  closers.defer(() => rm(folder, { recursive: true, force: true }));
  authority = closers.add(await Authority.create());
  pair = await authority.issue("server");
  good = await authority.issue("good");
  revoked = await authority.issue("revoked");
  go = await GoTls.build();
  if (go !== undefined) closers.add(go);
}, 120_000);
afterAll(() => closers.close());

const scene = createScene();
const { keep } = scene;
afterEach(() => scene.close());

/** Dials a listener; the end is closed after the test. */
async function dial(port: number, options: ClientOptions = {}): Promise<SecuredEnd> {
  const end = await dialTls(port, await clientSettings({ ca: authority.cert, ...options }));
  scene.keep({ close: () => end.peer.reset() });
  return end;
}

/** Returns the code with which a listener refuses a client, or the client's common name. */
async function admission(settings: Partial<ListenerTlsOptions>, client: ClientOptions) {
  const options = await serverSettings(pair, { trustedCaFile: authority.cert, ...settings });
  const listener = keep(new TlsListener(() => options));
  const dialled = dial(listener.port, client).catch(() => undefined);
  await until(() => listener.secured.length + listener.failures.length > 0, "the handshake ended");
  const end = await dialled;
  if (listener.secured.length > 0) return listener.secured[0]!.session.peer?.commonName;

  // What a refused client has sent goes nowhere.
  void end?.peer.send(10);
  if (end !== undefined) await end.peer.gone();
  return listener.failures[0]!.code;
}

describe("ListenerTls, with a trusted CA", () => {
  type Make = () => Promise<ClientOptions>;
  test.each<[outcome: string, what: string, make: Make]>([
    ["good", "whose certificate the CA signed", async () => ({ pair: good })],
    ["ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE", "without a certificate", async () => ({})],
    ["CERT_HAS_EXPIRED", "whose certificate has expired", async () => ({ pair: await authority.issue("old", { period: "past" }) })],
    ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "of another CA", async () => ({ pair: await closers.add(await Authority.create()).issue("foreign") })],
    ["deep", "with its intermediate certificate", async () => ({ pair: await authority.issue("deep", { intermediate: "shown" }) })],
    ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "without its intermediate certificate", async () => ({ pair: await authority.issue("lone", { intermediate: "missing" }) })],
    ["only-client", "whose certificate is for clients only", async () => ({ pair: await authority.certify("only-client", { section: "client", signer: authority.pair }) })],
  ])("answers %s to a client %s", async (outcome, _, make) => {
    expect(await admission({}, await make())).toBe(outcome);
  }); // prettier-ignore

  test("refuses a client certificate that is for servers only", async () => {
    const server = await authority.certify("only-server", { section: "server", signer: authority.pair });
    expect(await admission({}, { pair: server })).toBe("INVALID_PURPOSE");
  }); // prettier-ignore

  test("takes an intermediate authority in the file for a trust anchor, as Go does", async () => {
    const deep = await authority.issue("anchored", { intermediate: "missing" });
    const anchor = deep.cert.replace("anchored", "anchored-authority");
    expect(await admission({ trustedCaFile: anchor }, { pair: deep })).toBe("anchored");
  });

  test.each(["-tls1_2", "-tls1_3"])("resumes no session %s, so that every client is verified", async (version) => {
    const settings = await serverSettings(pair, { trustedCaFile: authority.cert });
    const listener = keep(new TlsListener(() => settings));
    listener.onSecured = ({ peer }) => peer.shutdown();
    const session = join(folder, `session${version}`);
    const words = ["s_client", "-connect", `127.0.0.1:${listener.port}`, version, "-cert", good.cert, "-key", good.key];
    const connect = (...more: string[]) => output([requireTool("openssl"), ...words, ...more]);
    await connect("-sess_out", session);
    const text = existsSync(session) ? await connect("-sess_in", session) : "New,";
    expect(text).toContain("New,");
    expect(text).not.toContain("Reused,");
  }); // prettier-ignore

  test("ignores NODE_TLS_REJECT_UNAUTHORIZED=0", async () => {
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      expect(await admission({}, {})).toBe("ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE");
      const foreign = await closers.add(await Authority.create()).issue("foreign");
      expect(await admission({}, { pair: foreign })).toBe("UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
    } finally {
      delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    }
  });
});

describe("ListenerTls, with a revocation list", () => {
  test.each(["pem", "der"] as const)("refuses the certificates of a list in %s", async (form) => {
    const clientCrlFile = await authority.revocationList(`list.${form}`, [revoked], form);
    expect(await admission({ clientCrlFile }, { pair: good })).toBe("good");
    expect(await admission({ clientCrlFile }, { pair: revoked })).toBe("CERT_REVOKED");
  });

  test("admits every client of the CA if the list is empty", async () => {
    const clientCrlFile = await authority.revocationList("empty.crl", []);
    expect(await admission({ clientCrlFile }, { pair: revoked })).toBe("revoked");
  });

  test("refuses a client whose intermediate certificate is revoked", async () => {
    const deep = await authority.issue("under", { intermediate: "shown" });
    const intermediate = { cert: deep.cert.replace("under", "under-authority"), key: deep.key };
    const clientCrlFile = await authority.revocationList("intermediate.crl", [intermediate]);
    expect(await admission({ clientCrlFile }, { pair: deep })).toBe("CERT_REVOKED");
  });

  test("does not start with a file that is not a list", async () => {
    const start = serverSettings(pair, { clientCrlFile: pair.cert });
    await expect(start).rejects.toThrow(
      new TlsFileError(
        `Cannot use --client-crl-file "${pair.cert}": block 1 (line 1) is a CERTIFICATE, not an X509 CRL; remove it from the file`,
      ),
    );
  });
});

describe("ListenerTls, with versions and cipher suites", () => {
  const RSA = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
  const ECDSA = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305";

  test.each<[options: Partial<ListenerTlsOptions>, version: number, outcome: string]>([
    [{}, 0x0304, "TLS 1.3"],
    [{}, 0x0303, "TLS 1.2"],
    [{ minVersion: "TLS1.3" }, 0x0304, "TLS 1.3"],
    [{ minVersion: "TLS1.3" }, 0x0303, "protocol version"],
    [{ maxVersion: "TLS1.2" }, 0x0304, "TLS 1.2"],
    [{ cipherSuites: [RSA] }, 0x0303, "handshake failure"],
    [{ cipherSuites: [RSA, ECDSA] }, 0x0303, "TLS 1.2"],
    [{ cipherSuites: [RSA] }, 0x0304, "TLS 1.3"],
    [{ cipherSuites: ["TLS_AES_128_GCM_SHA256"] }, 0x0303, "protocol version"],
  ])("%j answers a Go client of version %p: %s", async (options, version, outcome) => {
    if (go === undefined) return;
    const settings = await serverSettings(pair, options);
    const listener = keep(new TlsListener(() => settings));
    listener.onSecured = ({ peer }) => peer.shutdown();
    const address = `127.0.0.1:${listener.port}`;
    const { version: agreed, error } = await go.connect({ address, ca: authority.cert, "max-version": version });
    expect(agreed || error).toContain(outcome);
  }); // prettier-ignore

  test("does not start with a cipher suite that only Go has", async () => {
    const start = serverSettings(pair, { cipherSuites: [RSA, "TLS_RSA_WITH_RC4_128_SHA"] });
    const message = 'cipher suite "TLS_RSA_WITH_RC4_128_SHA" is not supported';
    await expect(start).rejects.toThrow(new RangeError(message));
  });
});

describe("ListenerTls.start()", () => {
  test("names the flag of a file that cannot be used", async () => {
    const absent = join(folder, "absent.pem");
    const start = (options: Partial<ListenerTlsOptions>) => serverSettings(pair, options);
    await expect(start({ certFile: absent })).rejects.toThrow(`Cannot use --cert-file "${absent}": there is no such file`);
    await expect(start({ keyFile: absent })).rejects.toThrow(`Cannot use --key-file "${absent}": there is no such file`);
    await expect(start({ trustedCaFile: pair.key })).rejects.toThrow(`Cannot use --trusted-ca-file "${pair.key}": block 1`);
    await expect(start({ keyFile: good.key })).rejects.toThrow(
      `Cannot use --cert-file "${pair.cert}": with --key-file "${good.key}", its first certificate does not match that key`,
    );
  }); // prettier-ignore
});

describe("ListenerTls, when files change", () => {
  /** A running listener whose files are copies that the test replaces. */
  async function createListener(options: Partial<ListenerTlsOptions> = {}) {
    const copy = await mkdtemp(join(folder, "copy-"));
    const files = { cert: join(copy, "cert.pem"), key: join(copy, "key.pem") };
    const replace = ({ cert, key }: KeyPair) => {
      copyFileSync(cert, files.cert);
      copyFileSync(key, files.key);
    };
    replace(pair);

    const clock = new ManualClock();
    const log: string[] = [];
    const tls = keep(
      new ListenerTls(clock, listenerOptions(files, options), {
        renewed: (what) => log.push(`renewed ${what}`),
        failed: (message) => log.push(message),
      }),
    );
    await tls.start();
    const listener = keep(new TlsListener(() => tls.settings));
    /** Lets the listener look at its files. */
    const check = async () => {
      clock.advance(CHECK_MS);
      await until(() => clock.pending === 1, "the files were read");
    };
    const served = async (client?: ClientOptions) =>
      (await dial(listener.port, client)).session.peer!.commonName;
    return { tls, listener, files, replace, log, check, served, clock };
  }

  test("serves a renewed certificate to the next handshake, while old connections go on", async () => {
    const { listener, replace, log, check, served } = await createListener();
    const old = await dial(listener.port);
    const accepted = await listener.client();
    expect(old.session.peer!.commonName).toBe("server");

    replace(await authority.issue("renewed"));
    expect(await served()).toBe("server");
    await check();
    expect([await served(), log]).toEqual(["renewed", ["renewed certificate"]]);

    await accepted.peer.send(100_000);
    await old.peer.send(100_000);
    await until(() => old.peer.receivedBytes + accepted.peer.receivedBytes === 200_000, "all arrived");
    expect([old.peer.firstWrongByte, accepted.peer.firstWrongByte]).toEqual([undefined, undefined]);
  }); // prettier-ignore

  test("keeps the last valid pair when a file is damaged, and logs that once", async () => {
    const { files, replace, log, check, served } = await createListener();
    writeFileSync(files.cert, "-----BEGIN CERTIFICATE-----\nAAAA");
    await check();
    expect(log).toEqual([]); // it may be half written
    await check();
    await check();
    const message = `Cannot use --cert-file "${files.cert}": block 1 (line 1) has no END line: the file is cut off; the last valid files stay in use`;
    expect([await served(), log]).toEqual(["server", [message]]);

    replace(await authority.issue("mended"));
    await check();
    expect([await served(), log.at(-1)]).toEqual(["mended", "renewed certificate"]);
  });

  test("keeps the last valid pair while only one of the two files was replaced", async () => {
    const { files, log, check, served } = await createListener();
    const next = await authority.issue("next");
    copyFileSync(next.cert, files.cert);
    await check();
    expect([await served(), log]).toEqual(["server", []]);
    copyFileSync(next.key, files.key);
    await check();
    expect([await served(), log]).toEqual(["next", ["renewed certificate"]]);
  });

  test("says so when a file is gone, and goes on with the last valid one", async () => {
    const { files, log, check, served } = await createListener();
    rmSync(files.key);
    await check();
    await check();
    expect([await served(), log]).toEqual([
      "server",
      [`Cannot use --key-file "${files.key}": there is no such file; the last valid files stay in use`],
    ]);
  }); // prettier-ignore

  test("trusts a renewed CA from the next handshake on", async () => {
    const other = closers.add(await Authority.create());
    const ca = join(folder, "ca.pem");
    copyFileSync(authority.cert, ca);
    const { listener, check } = await createListener({ trustedCaFile: ca });
    await dial(listener.port, { pair: good });
    await listener.client();
    copyFileSync(other.cert, ca);
    await check();
    await dial(listener.port, { pair: good });
    // The client shows its own authority's certificate too.
    expect((await listener.failure()).code).toBe("SELF_SIGNED_CERT_IN_CHAIN");
  });

  test("refuses a certificate that is revoked later, and every client once the list is unusable", async () => {
    const list = join(folder, "later.crl");
    copyFileSync(await authority.revocationList("none.crl", []), list);
    const tls = { trustedCaFile: authority.cert, clientCrlFile: list };
    const { listener, log, check } = await createListener(tls);
    await dial(listener.port, { pair: revoked });
    await listener.client();

    copyFileSync(await authority.revocationList("one.crl", [revoked], "der"), list);
    await check();
    await dial(listener.port, { pair: revoked });
    expect((await listener.failure()).message).toMatch(/^certificate serial [0-9A-F]+ revoked$/);

    writeFileSync(list, "nonsense");
    await check();
    await check();
    await dial(listener.port, { pair: good });
    const fault = `Cannot use --client-crl-file "${list}": it contains no X509 CRL in PEM format`;
    expect((await listener.failure(1)).message).toBe(fault);
    expect(log).toEqual([
      "renewed revocation list",
      `${fault}; every client is refused until it can be used`,
    ]);

    copyFileSync(await authority.revocationList("none2.crl", []), list);
    await check();
    await dial(listener.port, { pair: revoked });
    await listener.client(1);
    expect(log.at(-1)).toBe("renewed revocation list");
  }); // prettier-ignore

  test("close() ends the checks, also during one", async () => {
    const { tls, clock } = await createListener();
    clock.advance(CHECK_MS);
    tls.close();
    tls.close();
    await Bun.sleep(20);
    expect(clock.pending).toBe(0);
  });
});
