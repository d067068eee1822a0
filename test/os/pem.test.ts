// PEM parsing: every certificate or key of a text is read, or the error names the block
// and the line.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { PemError, readAnchors, readChain, readPrivateKey } from "../../src/os/pem.ts";
import { Closers, output, requireTool } from "../support/gateway-command.ts";
import { fuzzWith, seed } from "../support/random-input.ts";
import { Authority } from "../support/tls-certificates.ts";

const closers = new Closers();
afterAll(() => closers.close());

let ca: string;
let leaf: string;
let key: string;
let encrypted: string;
let oldEncrypted: string;
let trusted: string;
let described: string;
beforeAll(async () => {
  const authority = closers.add(await Authority.create());
  const pair = await authority.issue("leaf");
  const openssl = (...words: string[]) => output([requireTool("openssl"), ...words]);
  [ca, leaf, key] = [authority.cert, pair.cert, pair.key].map((path) => readFileSync(path, "utf8")) as [string, string, string];
  encrypted = await openssl("pkey", "-in", pair.key, "-aes256", "-passout", "pass:secret");
  oldEncrypted = await openssl("ec", "-in", pair.key, "-aes256", "-passout", "pass:secret");
  trusted = await openssl("x509", "-in", authority.cert, "-trustout");
  described = await openssl("x509", "-in", authority.cert, "-text");
}); // prettier-ignore

/** Identifies anchors, whatever text they were read from. */
const fingerprints = (anchors: readonly string[]) =>
  anchors.map((pem) => new X509Certificate(pem).fingerprint256);
const lines = (text: string) => text.trimEnd().split("\n");
const without = (text: string, i: number) => lines(text).toSpliced(i, 1).join("\n");
const bytesOf = (pem: string) => Buffer.from(lines(pem).slice(1, -1).join(""), "base64");
const pem = (label: string, bytes: Buffer) =>
  `-----BEGIN ${label}-----\n${bytes.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END ${label}-----\n`;

describe("readAnchors()", () => {
  test.each<[what: string, make: () => string]>([
    ["two certificates", () => ca + leaf],
    ["Windows line endings", () => (ca + leaf).replaceAll("\n", "\r\n")],
    ["line endings of old Macs", () => (ca + leaf).replaceAll("\n", "\r")],
    ["a byte order mark", () => `\uFEFF${ca}${leaf}`],
    ["what openssl x509 -text writes", () => described + leaf],
    ["comments and rulers", () => `# A\n------------\n${ca}\nsubject=CN = leaf\n\n${leaf}\n# end\n`],
    ["comments that look like a BEGIN or END line", () => `# Our CA - END of life 2031\n# --- BEGIN ---\n${ca}${leaf}# ---- END of our CAs ----\n`],
    ["a block that is commented out", () => lines(ca).map((line) => `# ${line}\n`).join("") + ca + leaf],
    ["spaces at the ends of lines", () => (ca + leaf).replaceAll("\n", " \t\n")],
    ["no line break at its end", () => (ca + leaf).trimEnd()],
    ["the label of old versions of openssl", () => ca.replaceAll(" CERT", " X509 CERT") + leaf],
  ])("reads every certificate of a file with %s", (_, make) => {
    expect(fingerprints(readAnchors(make()))).toEqual(fingerprints([ca, leaf]));
  });

  const size = () => bytesOf(ca).length;
  test.each<[what: string, make: () => string, fact: string | (() => string)]>([
    ["that is empty", () => "", "it is empty"],
    ["of blank lines", () => " \n\n", "it is empty"],
    ["without PEM", () => "hello\n", "it contains no CERTIFICATE in PEM format"],
    ["in DER", () => bytesOf(ca).toString("utf8"), "it is DER, not PEM; convert it with: openssl x509 -inform der -in FILE -out FILE, or openssl pkey for a key"],
    ["in UTF-16", () => Buffer.from(ca, "utf16le").toString("utf8"), "it is not text in UTF-8"],
    ["whose second block is cut off", () => ca + lines(leaf).slice(0, 4).join("\n"), () => `block 2 (line ${lines(ca).length + 1}) has no END line: the file is cut off`],
    ["whose first block is cut off", () => `${lines(ca).slice(0, 4).join("\n")}\n${leaf}`, "block 1 (line 1) has no END line before line 5"],
    ["whose second block lacks its first line", () => ca + without(leaf, 1), () => `block 2 (line ${lines(ca).length + 1}) is not a certificate: its bytes are not an ASN.1 sequence`],
    ["whose block is PEM text again", () => pem("CERTIFICATE", Buffer.from(ca)), "block 1 (line 1) is not a certificate: its bytes are not an ASN.1 sequence"],
    ["whose second block lacks a line", () => ca + without(leaf, 2), () => `block 2 (line ${lines(ca).length + 1}) is not a certificate: it has ${bytesOf(leaf).length - 48} bytes, but its ASN.1 header declares ${bytesOf(leaf).length}`],
    ["with bytes after the certificate", () => pem("CERTIFICATE", Buffer.concat([bytesOf(ca), Buffer.alloc(3)])), () => `block 1 (line 1) is not a certificate: it has ${size() + 3} bytes, but its ASN.1 header declares ${size()}`],
    ["whose block is not ASN.1", () => pem("CERTIFICATE", Buffer.from("hello")), "block 1 (line 1) is not a certificate: "],
    ["whose block is empty", () => pem("CERTIFICATE", Buffer.alloc(0)), "block 1 (line 1) is empty"],
    ["with a character that is not base64", () => ca.replace(/\n(.)/, "\n*"), "block 1 (line 1) is damaged: line 2 is not base64"],
    ["whose base64 lacks a character", () => ca.replace(/.\n-----END/, "\n-----END"), "block 1 (line 1) is damaged: its base64 is not complete"],
    ["without a line break between two blocks", () => ca.trimEnd() + leaf, () => `line ${lines(ca).length} has an END and a BEGIN; put a line break between them`],
    ["whose BEGIN line lacks a dash", () => `${ca}${leaf.replace("-----", "----")}`, () => `line ${lines(ca).length + 1} is not a BEGIN line that starts a block`],
    ["whose BEGIN line is indented", () => `  ${ca}`, "line 1 is not a BEGIN line that starts a block"],
    ["whose BEGIN line is missing", () => ca + lines(leaf).slice(1).join("\n"), () => `line ${lines(ca + leaf).length - 1} is not a BEGIN line that starts a block`],
    ["whose END line has another label", () => ca.replace("END CERT", "END X509 CERT"), () => `block 1 (line 1) begins as CERTIFICATE and ends as X509 CERTIFICATE in line ${lines(ca).length}`],
    ["with a private key", () => ca + key, () => `block 2 (line ${lines(ca).length + 1}) is a PRIVATE KEY, not a CERTIFICATE; remove it from the file`],
    ["with a revocation list", () => pem("X509 CRL", bytesOf(ca)), "block 1 (line 1) is a X509 CRL, not a CERTIFICATE; remove it from the file"],
    ["with a TRUSTED CERTIFICATE", () => trusted, "block 1 (line 1) is a TRUSTED CERTIFICATE, a format that only openssl uses; convert it with: openssl x509 -in FILE -out FILE"],
  ])("refuses a file %s", (_, make, fact) => {
    const text = make();
    expect(() => readAnchors(text)).toThrow(PemError);
    expect(() => readAnchors(text)).toThrow(typeof fact === "string" ? fact : fact());
  });

  test("refuses a file that is cut off anywhere inside a block", () => {
    const whole = fingerprints([ca, leaf]);
    for (let end = 0; end < ca.length + leaf.length - 1; end++) {
      const text = (ca + leaf).slice(0, end);
      let found: string[] | undefined;
      try {
        found = fingerprints(readAnchors(text));
      } catch (error) {
        expect((error as Error).constructor).toBe(PemError);
      }
      // A text that ends between the two blocks is complete.
      const isWhole = end >= ca.length - 1 && end <= ca.length;
      expect([end, found]).toEqual([end, isWhole ? whole.slice(0, 1) : undefined]);
    }
  });

  test(`reads both certificates or refuses the file, whatever character is changed (FUZZ_SEED=${seed})`, () => {
    const whole = fingerprints([ca, leaf]);
    const change = (random: (below: number) => number) => {
      const at = random(ca.length + leaf.length);
      const text = ca + leaf;
      return text.slice(0, at) + String.fromCharCode(random(128)) + text.slice(at + 1);
    };
    let refused = 0;
    fuzzWith(2000, change, (text) => {
      try {
        const found = fingerprints(readAnchors(text));
        // The parser does not verify signatures, so it accepts a changed one.
        expect(found).toHaveLength(whole.length);
      } catch (error) {
        if (!(error instanceof PemError)) throw error;
        refused++;
      }
    });
    expect(refused).toBeGreaterThan(200);
  });
}); // prettier-ignore

describe("readChain()", () => {
  test("reads the certificates in their order, and skips a key", () => {
    const found = readChain(key + leaf + ca).map(({ fingerprint256 }) => fingerprint256);
    expect(found).toEqual(fingerprints([leaf, ca]));
  });

  test("refuses a chain whose second certificate is damaged", () => {
    const text = leaf + without(ca, 2);
    expect(() => readChain(text)).toThrow(
      `block 2 (line ${lines(leaf).length + 1}) is not a certificate: `,
    );
  });

  test("refuses a file with only a key", () => {
    expect(() => readChain(key)).toThrow(new PemError("it contains no CERTIFICATE in PEM format"));
  });
});

describe("readPrivateKey()", () => {
  test("reads the key among certificates and EC PARAMETERS", () => {
    const parameters = pem("EC PARAMETERS", Buffer.from([6, 8, 42, 134, 72, 206, 61, 3, 1, 7]));
    expect(readPrivateKey(ca + parameters + key)).toBe(key);
  });

  test.each<[what: string, make: () => string]>([
    ["in PKCS #8", () => encrypted],
    ["in openssl's old format", () => oldEncrypted],
  ])("refuses an encrypted key %s", (_, make) => {
    expect(() => readPrivateKey(make())).toThrow(
      "block 1 (line 1) is an encrypted key, and the gateway has no passphrase; decrypt it with: openssl pkey -in FILE -out FILE",
    );
  });

  test("refuses a damaged key, and does not quote it", () => {
    const damaged = pem("PRIVATE KEY", bytesOf(key).subarray(0, 60));
    expect(() => readPrivateKey(damaged)).toThrow(/^block 1 \(line 1\) is not a private key: /);
    expect(() => readPrivateKey(damaged)).not.toThrow(lines(damaged)[1]!);
  });

  test("refuses a file with only certificates", () => {
    expect(() => readPrivateKey(ca)).toThrow(
      new PemError("it contains no PRIVATE KEY in PEM format"),
    );
  });
});
