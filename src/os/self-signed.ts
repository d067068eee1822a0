// Creates self-signed server certificates (X.509, RFC 5280), for --auto-tls. Writes no
// file.
import { generateKeyPairSync, hash, randomBytes, sign } from "node:crypto";
import { isIP } from "node:net";
import {
  bitString,
  element,
  objectIdentifier,
  sequence,
  TAG,
  time,
  unsignedInteger,
} from "./der.ts";
import { encodePem } from "./pem.ts";
import { addressBytes, socketAddress } from "./socket-address.ts";

const OID = {
  ORGANIZATION: "2.5.4.10",
  SUBJECT_KEY_IDENTIFIER: "2.5.29.14",
  KEY_USAGE: "2.5.29.15",
  SUBJECT_ALT_NAME: "2.5.29.17",
  BASIC_CONSTRAINTS: "2.5.29.19",
  EXTENDED_KEY_USAGE: "2.5.29.37",
  SERVER_AUTH: "1.3.6.1.5.5.7.3.1",
  ECDSA_WITH_SHA512: "1.2.840.10045.4.3.4",
};

// As in etcd's own self-signed certificates.
const ORGANIZATION = "etcd";
const CURVE = "P-521";

const SERIAL_BYTES = 16;
const TRUE = element(TAG.BOOLEAN, Buffer.of(0xff));

export interface SelfSignedOptions {
  /** DNS names and IP literals. */
  readonly names: readonly string[];
  /** Milliseconds since 1970; seconds are the precision of certificates. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Creates a key and a certificate, both PEM text, that clients may also take for the CA. */
export function createSelfSigned(options: SelfSignedOptions): {
  readonly cert: string;
  readonly key: string;
} {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: CURVE });
  const spki = publicKey.export({ type: "spki", format: "der" });
  const algorithm = sequence(objectIdentifier(OID.ECDSA_WITH_SHA512));

  const tbs = tbsCertificate(options, algorithm, spki);
  const signature = sign("sha512", tbs, privateKey);
  return {
    cert: encodePem("CERTIFICATE", sequence(tbs, algorithm, bitString(signature))),
    key: privateKey.export({ type: "sec1", format: "pem" }).toString(),
  };
}

/** Encodes TBSCertificate, version 3. */
function tbsCertificate(
  { names, notBefore, notAfter }: SelfSignedOptions,
  algorithm: Buffer,
  spki: Buffer,
): Buffer {
  const subject = sequence(
    element(
      TAG.SET,
      sequence(
        objectIdentifier(OID.ORGANIZATION),
        element(TAG.UTF8_STRING, Buffer.from(ORGANIZATION)),
      ),
    ),
  );
  return sequence(
    element(TAG.CONTEXT_0, unsignedInteger(Buffer.of(2))), // version 3
    unsignedInteger(randomBytes(SERIAL_BYTES)),
    algorithm,
    subject, // as the issuer
    sequence(time(notBefore), time(notAfter)),
    subject,
    spki,
    element(TAG.CONTEXT_3, extensions(names, spki)),
  );
}

function extensions(names: readonly string[], spki: Buffer): Buffer {
  const digitalSignatureAndKeyCertSign = bitString(Buffer.of(0b1000_0100), 2);
  const keyIdentifier = Buffer.from(hash("sha256", spki), "hex").subarray(0, 20);
  return sequence(
    extension(OID.BASIC_CONSTRAINTS, sequence(TRUE), true),
    extension(OID.KEY_USAGE, digitalSignatureAndKeyCertSign, true),
    extension(OID.EXTENDED_KEY_USAGE, sequence(objectIdentifier(OID.SERVER_AUTH))),
    extension(OID.SUBJECT_KEY_IDENTIFIER, element(TAG.OCTET_STRING, keyIdentifier)),
    extension(OID.SUBJECT_ALT_NAME, sequence(...names.map(generalName))),
  );
}

function extension(oid: string, value: Buffer, isCritical = false): Buffer {
  const critical = isCritical ? TRUE : Buffer.alloc(0);
  return sequence(objectIdentifier(oid), critical, element(TAG.OCTET_STRING, value));
}

/** Encodes a GeneralName: iPAddress or dNSName. */
function generalName(name: string): Buffer {
  if (isIP(name) === 0) return element(TAG.CONTEXT_2, Buffer.from(name, "latin1"));
  return element(TAG.CONTEXT_7, addressBytes(socketAddress(name, 0)));
}
