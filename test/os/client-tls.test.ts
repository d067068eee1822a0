// TLS settings of dials: which servers they accept.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StartError } from "../../src/core/start-error.ts";
import { checkEmptyCommonName } from "../../src/os/client-tls.ts";
import { describeTlsError } from "../../src/resolver/tls-error.ts";
import { Closers, output, requireTool } from "../support/gateway-command.ts";
import { PeerServer } from "../support/peer.ts";
import { createScene } from "../support/scene.ts";
import { Authority, type IssueOptions, type KeyPair } from "../support/tls-certificates.ts";
import { type ClientOptions, clientSettings, serverSettings } from "../support/tls-context.ts";
import { socketsClosed, dialTls, TlsListener } from "../support/tls-scene.ts";

const closers = new Closers();
closers.defer(socketsClosed());
const folder = mkdtempSync(join(tmpdir(), "etcd-gateway-client-"));
closers.defer(() => rmSync(folder, { recursive: true, force: true }));
let authority: Authority;
let pair: KeyPair;
beforeAll(async () => {
  authority = closers.add(await Authority.create());
  pair = await authority.issue("server", { names: ["DNS:a.test", "DNS:*.b.test", "IP:127.0.0.1"] });
});
afterAll(() => closers.close());

const scene = createScene();
const { keep } = scene;
afterEach(() => scene.close());

/** Dials a server with this pair. Resolves with "accepted", or the code of the refusal. */
async function verdict(served: KeyPair, options: ClientOptions): Promise<string> {
  const settings = await serverSettings(served);
  const listener = keep(new TlsListener(() => settings));
  try {
    const { peer } = await dialTls(listener.port, await clientSettings(options));
    await peer.send(10);
    await (await listener.client()).peer.send(10);
    return "accepted";
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const MISMATCH = "ERR_TLS_CERT_ALTNAME_INVALID";

describe("ClientTls", () => {
  test.each<[names: string[], outcome: string]>([
    [["a.test"], "accepted"],
    [["A.TEST."], "accepted"],
    [["x.b.test"], "accepted"],
    [["127.0.0.1"], "accepted"],
    [["c.test", "a.test"], "accepted"],
    [["c.test", "127.0.0.1"], "accepted"],
    [["c.test"], MISMATCH],
    [["b.test"], MISMATCH],
    [["127.0.0.2"], MISMATCH],
    [[], MISMATCH],
  ])("a certificate for a.test, *.b.test and 127.0.0.1, and names %j: %s", async (names, outcome) => {
    expect(await verdict(pair, { ca: authority.cert, names })).toBe(outcome);
  }); // prettier-ignore

  test("does not take a common name for a name", async () => {
    const bare = await authority.certify("c.test", { section: "leaf", names: ["DNS:a.test"], signer: authority.pair });
    expect(await verdict(bare, { ca: authority.cert, names: ["c.test"] })).toBe(MISMATCH);
  }); // prettier-ignore

  test.each<[what: string, outcome: string, options: IssueOptions]>([
    ["that has expired", "CERT_HAS_EXPIRED", { period: "past" }],
    ["that is not valid yet", "CERT_NOT_YET_VALID", { period: "future" }],
    ["that is self-signed", "DEPTH_ZERO_SELF_SIGNED_CERT", { isSelfSigned: true }],
    ["with its intermediate", "accepted", { intermediate: "shown" }],
    ["without its intermediate", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", { intermediate: "missing" }],
  ])("a certificate %s: %s", async (_, outcome, options) => {
    const served = await authority.issue(`server-${outcome}`, options);
    expect(await verdict(served, { ca: authority.cert })).toBe(outcome);
    // A name that does not match does not hide it.
    const names = ["other.test"];
    const other = outcome === "accepted" ? MISMATCH : outcome;
    expect(await verdict(served, { ca: authority.cert, names })).toBe(other);
    expect(await verdict(served, { ca: authority.cert, names, insecureSkipVerify: true })).toBe("accepted");
  }); // prettier-ignore

  test("trusts the certificate that the server shows, if the CA file has it, as Go does", async () => {
    const served = await authority.issue("pinned", { isSelfSigned: true });
    expect(await verdict(served, { ca: served.cert })).toBe("accepted");
  });

  test("refuses every server of a private CA with the system's store, and accepts it unverified", async () => {
    expect(await verdict(pair, { names: ["a.test"] })).not.toBe("accepted");
    expect(await verdict(pair, { names: ["a.test"], insecureSkipVerify: true })).toBe("accepted");
  });

  test("ignores NODE_TLS_REJECT_UNAUTHORIZED=0", async () => {
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      expect(await verdict(pair, { ca: authority.cert, names: ["c.test"] })).toBe(MISMATCH);
      const other = closers.add(await Authority.create());
      expect(await verdict(pair, { ca: other.cert, names: ["a.test"] })).not.toBe("accepted");
    } finally {
      delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    }
  });

  test("even unverified, fails for a server that does not speak TLS, in words for operators", async () => {
    const plain = keep(new PeerServer());
    plain.onPeer = (peer) => void peer.send(100);
    const settings = await clientSettings({ ca: authority.cert, insecureSkipVerify: true });
    const error = await dialTls(plain.port, settings).catch((cause) => cause);
    expect(describeTlsError(error)).toBe("it does not speak TLS");
  });
});

describe("checkEmptyCommonName()", () => {
  async function certify(subject: string): Promise<string> {
    const path = join(folder, "client.pem");
    const openssl = [requireTool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt"];
    const rest = ["ec_paramgen_curve:prime256v1", "-noenc", "-keyout", `${path}.key`];
    await output([...openssl, ...rest, "-subj", subject, "-out", path]);
    return path;
  }

  test.each([
    ["/O=etcd", undefined],
    ["/CN=root", "root"],
    ["/CN=a\\/CN=b/O=x", "a/CN=b"],
    ["/CN=first/CN=last", "last"],
  ])("a certificate of %p has the common name %p", async (subject, name) => {
    const path = await certify(subject);
    const check = checkEmptyCommonName(path, "--cert");
    if (name === undefined) await check;
    else {
      const message = `cert has non empty Common Name (${name}): ${path}`;
      await expect(check).rejects.toThrow(new StartError(message));
    }
  });

  test("names the flag of a file that is not a certificate", async () => {
    const check = checkEmptyCommonName(pair.key, "--cert");
    await expect(check).rejects.toThrow(
      `Cannot use --cert "${pair.key}": it contains no CERTIFICATE in PEM format`,
    );
  });
});
