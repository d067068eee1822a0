// Reads and checks the files of --trusted-ca-file, --cert-file and --key-file.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkTlsFiles, readTlsFiles, TlsFileError } from "../../src/os/tls.ts";
import { Closers, output, requireTool } from "../support/gateway-command.ts";
import { Authority, type KeyPair } from "../support/tls-certificates.ts";

const closers = new Closers();
afterAll(() => closers.close());

const folder = mkdtempSync(join(tmpdir(), "etcd-gateway-files-"));
closers.defer(() => rmSync(folder, { recursive: true, force: true }));
const inFolder = (name: string) => join(folder, name);

let authority: Authority;
let pair: KeyPair;
let other: KeyPair;
beforeAll(async () => {
  authority = closers.add(await Authority.create());
  pair = await authority.issue("client", { intermediate: "shown" });
  other = await authority.issue("other");
  const ca = readFileSync(authority.cert, "utf8");
  writeFileSync(inFolder("cut.pem"), ca + ca.slice(0, 100));
  writeFileSync(inFolder("mixed.pem"), ca + readFileSync(pair.key, "utf8"));
  const openssl = (...words: string[]) => output([requireTool("openssl"), ...words]);
  await openssl("pkey", "-in", pair.key, "-aes256", "-passout", "pass:secret", "-out", inFolder("encrypted.key"));
  await openssl("x509", "-in", authority.cert, "-outform", "der", "-out", inFolder("ca.der"));
}); // prettier-ignore

const FLAGS = {
  trustedCaFile: "--trusted-ca-file",
  certFile: "--cert-file",
  keyFile: "--key-file",
};

const files = (trustedCaFile?: string, certFile?: string, keyFile?: string) => ({
  trustedCaFile,
  certFile,
  keyFile,
});

describe("checkTlsFiles()", () => {
  test("accepts an authority, and a chain with its key", async () => {
    await checkTlsFiles(files(authority.cert, pair.cert, pair.key), FLAGS);
  });

  type Make = () => ReturnType<typeof files>;
  test.each<[what: string, make: Make, message: () => string]>([
    ["--trusted-ca-file with one whole and one truncated block", () => files(inFolder("cut.pem")), () => `Cannot use --trusted-ca-file "${inFolder("cut.pem")}": block 2 (line ${readFileSync(authority.cert, "utf8").split("\n").length}) has no END line: the file is cut off`],
    ["--trusted-ca-file with a key", () => files(inFolder("mixed.pem")), () => `Cannot use --trusted-ca-file "${inFolder("mixed.pem")}": block 2 (line ${readFileSync(authority.cert, "utf8").split("\n").length}) is a PRIVATE KEY, not a CERTIFICATE; remove it from the file`],
    ["--trusted-ca-file in DER", () => files(inFolder("ca.der")), () => `Cannot use --trusted-ca-file "${inFolder("ca.der")}": it is DER, not PEM; convert it with: openssl x509 -inform der -in FILE -out FILE, or openssl pkey for a key`],
    ["--cert-file with a truncated block", () => files(undefined, inFolder("cut.pem"), pair.key), () => `Cannot use --cert-file "${inFolder("cut.pem")}": block 2 (line ${readFileSync(authority.cert, "utf8").split("\n").length}) has no END line: the file is cut off`],
    ["--key-file that is encrypted", () => files(undefined, pair.cert, inFolder("encrypted.key")), () => `Cannot use --key-file "${inFolder("encrypted.key")}": block 1 (line 1) is an encrypted key, and the gateway has no passphrase; decrypt it with: openssl pkey -in FILE -out FILE`],
    ["--key-file of another certificate", () => files(undefined, pair.cert, other.key), () => `Cannot use --cert-file "${pair.cert}": with --key-file "${other.key}", its first certificate does not match that key`],
  ])("refuses a %s", async (_, make, message) => {
    await expect(checkTlsFiles(make(), FLAGS)).rejects.toThrow(new TlsFileError(message()));
  });

  test("names the files by the caller's flags", async () => {
    const flags = { trustedCaFile: "--cacert", certFile: "--cert", keyFile: "--key" };
    const check = (...paths: string[]) => checkTlsFiles(files(...paths), flags);
    const absent = inFolder("absent.pem");
    const fact = `"${absent}": there is no such file`;
    await expect(check(absent)).rejects.toThrow(`Cannot use --cacert ${fact}`);
    await expect(check(authority.cert, absent, pair.key)).rejects.toThrow(`Cannot use --cert ${fact}`);
    await expect(check(authority.cert, pair.cert, absent)).rejects.toThrow(`Cannot use --key ${fact}`);
    await expect(check(authority.cert, pair.cert, other.key)).rejects.toThrow(
      `Cannot use --cert "${pair.cert}": with --key "${other.key}", its first certificate does not match that key`,
    );
  });
}); // prettier-ignore

describe("readTlsFiles()", () => {
  test("reads a renewed file, even after it could not be parsed", async () => {
    const path = inFolder("renewed.pem");
    const read = async () => (await readTlsFiles(files(path), FLAGS)).ca;
    writeFileSync(path, readFileSync(authority.cert));
    const first = await read();
    writeFileSync(path, "-----BEGIN");
    await expect(read()).rejects.toThrow(TlsFileError);
    writeFileSync(path, readFileSync(other.cert));
    expect(await read()).not.toEqual(first);
    writeFileSync(path, readFileSync(authority.cert));
    expect(await read()).toEqual(first);
  });
});
