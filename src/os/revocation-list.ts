// Reads the serial numbers that a certificate revocation list (RFC 5280, section 5)
// revokes. Like etcd, it checks neither the list's signature nor its dates: the operator
// vouches for the file.
import { DerError, DerReader, TAG } from "./der.ts";
import { readRevocationLists } from "./pem.ts";

/**
 * Reads a file with one list in DER, or any number of lists in PEM. Returns the revoked
 * serial numbers as `serialKey` writes them.
 *
 * @throws {Error} whose message is only the fact.
 */
export function readRevokedSerials(file: Buffer): Set<string> {
  const serials = new Set<string>();
  // A list is never shorter than 128 bytes, so its length is in the long form.
  const isDer = file[0] === TAG.SEQUENCE && (file[1] ?? 0) >= 0x80;
  const lists = isDer ? [file] : readRevocationLists(file.toString("utf8"));
  for (const list of lists) addRevokedSerials(list, serials);
  return serials;
}

/** Returns the form in which serial numbers are compared, from hexadecimal digits. */
export function serialKey(hex: string): string {
  // Like Go, without the sign of negative numbers, which RFC 5280 forbids.
  return hex.toUpperCase().replace(/^-?0*/, "");
}

function addRevokedSerials(list: Uint8Array, serials: Set<string>): void {
  try {
    const outer = new DerReader(list);
    const certificateList = new DerReader(outer.read(TAG.SEQUENCE));
    outer.end();
    const revoked = readCertificateList(certificateList);
    if (revoked === undefined) return; // nothing is revoked
    const entries = new DerReader(revoked);
    while (entries.nextTag !== undefined) serials.add(readEntry(entries.read(TAG.SEQUENCE)));
  } catch (error) {
    if (error instanceof DerError)
      throw new DerError(`it is not a certificate revocation list: ${error.message}`);
    throw error;
  }
}

/** Returns the content of revokedCertificates, which a list that revokes nothing lacks. */
function readCertificateList(list: DerReader): Uint8Array | undefined {
  const tbs = new DerReader(list.read(TAG.SEQUENCE));
  list.read(TAG.SEQUENCE); // signatureAlgorithm
  list.read(TAG.BIT_STRING); // signatureValue
  list.end();

  const version = tbs.readOptional(TAG.INTEGER);
  if (version !== undefined && (version.length !== 1 || version[0] !== 1))
    throw new DerError("its version is not 2");
  tbs.read(TAG.SEQUENCE); // signature
  tbs.read(TAG.SEQUENCE); // issuer
  tbs.read(TAG.UTC_TIME, TAG.GENERALIZED_TIME); // thisUpdate
  tbs.readOptional(TAG.UTC_TIME, TAG.GENERALIZED_TIME); // nextUpdate
  const revoked = tbs.readOptional(TAG.SEQUENCE);
  tbs.readOptional(TAG.CONTEXT_0); // crlExtensions
  tbs.end();
  return revoked;
}

function readEntry(bytes: Uint8Array): string {
  const entry = new DerReader(bytes);
  const serial = entry.read(TAG.INTEGER);
  entry.read(TAG.UTC_TIME, TAG.GENERALIZED_TIME); // revocationDate
  entry.readOptional(TAG.SEQUENCE); // crlEntryExtensions
  entry.end();
  if (serial.length === 0) throw new DerError("a serial number is empty");
  const hex = Buffer.from(serial).toString("hex");
  return serialKey(serial[0]! < 0x80 ? hex : magnitude(hex));
}

/** Returns the absolute value of a negative number in two's complement. */
function magnitude(hex: string): string {
  return ((1n << BigInt(hex.length * 4)) - BigInt(`0x${hex}`)).toString(16);
}
