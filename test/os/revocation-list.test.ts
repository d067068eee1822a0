// Revocation lists: the serial numbers of real ones, and refusal of everything else.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { DerError, element, sequence, TAG, time, unsignedInteger } from "../../src/os/der.ts";
import { PemError } from "../../src/os/pem.ts";
import { readRevokedSerials, serialKey } from "../../src/os/revocation-list.ts";
import { Closers } from "../support/gateway-command.ts";
import { fuzzWith, seed } from "../support/random-input.ts";
import { Authority } from "../support/tls-certificates.ts";

const closers = new Closers();
afterAll(() => closers.close());

let pem: Buffer;
let der: Buffer;
let empty: Buffer;
let serials: Set<string>;
beforeAll(async () => {
  const authority = closers.add(await Authority.create());
  const pairs = await Promise.all(["a", "b", "c"].map((name) => authority.issue(name)));
  pem = readFileSync(await authority.revocationList("pem.crl", pairs));
  der = readFileSync(await authority.revocationList("der.crl", pairs, "der"));
  empty = readFileSync(await authority.revocationList("empty.crl", [], "der"));
  const numbers = pairs.map(({ cert }) => new X509Certificate(readFileSync(cert)).serialNumber);
  serials = new Set(numbers.map(serialKey));
});

const NOW = time(Date.UTC(2026, 0, 1));
const ALGORITHM = sequence();
const SIGNATURE = element(TAG.BIT_STRING, Buffer.alloc(200));

/** A list with the given elements after its version. */
const listOf = (...rest: readonly Uint8Array[]) =>
  sequence(
    sequence(unsignedInteger(Buffer.of(1)), ALGORITHM, sequence(), ...rest),
    ALGORITHM,
    SIGNATURE,
  );
const entryOf = (...serial: readonly number[]) =>
  sequence(element(TAG.INTEGER, Buffer.from(serial)), NOW); // prettier-ignore

describe("readRevokedSerials()", () => {
  test("reads a list in DER and in PEM, and several in one file", () => {
    expect(serials.size).toBe(3);
    expect(readRevokedSerials(der)).toEqual(serials);
    expect(readRevokedSerials(pem)).toEqual(serials);
    expect(readRevokedSerials(Buffer.concat([pem, pem]))).toEqual(serials);
  });

  test("reads a list that revokes nothing", () => {
    expect(readRevokedSerials(empty)).toEqual(new Set());
    expect(readRevokedSerials(listOf(NOW))).toEqual(new Set());
    expect(readRevokedSerials(listOf(NOW, NOW, sequence()))).toEqual(new Set());
  });

  test("reads serial numbers with leading zeros, and negative ones like Go, without the sign", () => {
    const entries = sequence(entryOf(0, 0xff), entryOf(1, 2), entryOf(0x80), entryOf(0xff), entryOf(0));
    const expected = ["FF", "102", "80", "1", ""];
    expect(readRevokedSerials(listOf(NOW, entries))).toEqual(new Set(expected));
  }); // prettier-ignore

  const MESSAGE = "it is not a certificate revocation list: ";
  test.each<[what: string, file: () => Buffer, message: string]>([
    ["that is cut off", () => der.subarray(0, -1), `${MESSAGE}an element is longer than the file`],
    ["with bytes after its end", () => Buffer.concat([der, Buffer.of(0)]), `${MESSAGE}it has more elements than expected`],
    ["of version 3", () => sequence(sequence(unsignedInteger(Buffer.of(2))), ALGORITHM, SIGNATURE), `${MESSAGE}its version is not 2`],
    ["with an empty serial number", () => listOf(NOW, sequence(entryOf())), `${MESSAGE}a serial number is empty`],
    ["with an entry that has no date", () => listOf(NOW, sequence(sequence(unsignedInteger(Buffer.of(1))))), `${MESSAGE}it ends too early`],
    ["without a date", () => listOf(), `${MESSAGE}it ends too early`],
    ["with extensions before its entries", () => listOf(NOW, element(TAG.CONTEXT_0), sequence()), `${MESSAGE}it has more elements than expected`],
    ["with a length that is not the shortest", () => Buffer.concat([Buffer.from("308300012a", "hex"), Buffer.alloc(298)]), `${MESSAGE}the length of an element is not DER`],
    ["with an indefinite length", () => Buffer.concat([Buffer.from("3080", "hex"), Buffer.alloc(298)]), `${MESSAGE}the length of an element is not DER`],
    ["with a length of 2^32", () => Buffer.concat([Buffer.from("30850100000000", "hex"), Buffer.alloc(298)]), `${MESSAGE}the length of an element is not DER`],
    ["that is a certificate", () => Buffer.from("308200802020", "hex"), `${MESSAGE}the length of an element is not DER`],
    ["without PEM", () => Buffer.from("hello"), "it contains no X509 CRL in PEM format"],
    ["that is empty", () => Buffer.alloc(0), "it is empty"],
  ])("refuses a file %s", (_, file, message) => {
    expect(() => readRevokedSerials(file())).toThrow(message);
  }); // prettier-ignore

  test(`throws only its own errors for damaged lists (FUZZ_SEED=${seed})`, () => {
    const damage = (random: (below: number) => number) => {
      const bytes = Buffer.from(der);
      for (let left = 1 + random(4); left > 0; left--) bytes[random(bytes.length)] = random(256);
      return bytes.subarray(0, random(3) === 0 ? random(bytes.length) : bytes.length);
    };
    fuzzWith(3000, damage, (bytes) => {
      try {
        for (const serial of readRevokedSerials(bytes)) expect(serial).toMatch(/^[0-9A-F]*$/);
      } catch (error) {
        if (!(error instanceof DerError || error instanceof PemError)) throw error;
      }
    });
  });

  test("reads 100,000 entries", () => {
    const entries = Array.from({ length: 100_000 }, (_, i) => {
      const serial = Buffer.alloc(16, 1);
      serial.writeUInt32BE(i, 4);
      return entryOf(...serial);
    });
    expect(readRevokedSerials(listOf(NOW, sequence(...entries))).size).toBe(100_000);
  });
});

describe("serialKey()", () => {
  test.each([
    ["0A", "A"],
    ["a0", "A0"],
    ["00", ""],
    ["-0A", "A"],
  ])("%p becomes %p", (serial, key) => {
    expect(serialKey(serial)).toBe(key);
  });
});
