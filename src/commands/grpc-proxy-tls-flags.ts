// Flags of the gRPC proxy's TLS: towards etcd, and towards clients. Their names are
// etcd's, where --cert-file is the listener's, not as in the gateway.
import type { FlagTable } from "../cli/flag.ts";
import { parseBoolean, parseText } from "../cli/flag-values.ts";
import type { TlsVersion } from "../core/tls-config.ts";
import { parseCipherSuites, parseYears, tlsVersion } from "./grpc-proxy-values.ts";

type Values = Readonly<Record<string, unknown>>;

/** TLS of the proxy's connections to etcd. */
export const etcdTlsFlags = {
  cacert: {
    value: "FILE",
    section: "tls",
    key: "trustedCaFile",
    summary:
      "CA certificates that verify etcd's members. Each is trusted by itself: a root, an intermediate or a member's own. Not set: the system's.",
    example: "/etc/etcd/ca.pem",
    parse: parseText,
  },
  cert: {
    value: "FILE",
    section: "tls",
    key: "certFile",
    together: "key",
    summary:
      "Client certificate for etcd. It must have no Common Name (CN): with one, every client would act as that user of etcd.",
    example: "/etc/etcd/client.pem",
    parse: parseText,
  },
  key: {
    value: "FILE",
    section: "tls",
    key: "keyFile",
    together: "cert",
    summary: "Key of --cert.",
    example: "/etc/etcd/client.key",
    parse: parseText,
  },
  "insecure-skip-tls-verify": {
    value: "",
    default: "false",
    section: "tls",
    key: "insecureSkipVerify",
    summary: "Accept any certificate of etcd's members. Only for tests.",
    example: "true",
    parse: parseBoolean,
    warning: (isOn: boolean) =>
      isOn
        ? "--insecure-skip-tls-verify was given, this grpc proxy process skips authentication of etcd server TLS certificates. This option should be enabled only for testing purposes."
        : undefined,
  },
} as const satisfies FlagTable;

/** TLS of the listener. */
export const listenTlsFlags = {
  "cert-file": {
    value: "FILE",
    section: "listenTls",
    key: "certFile",
    isFixed: true,
    together: "key-file",
    summary: "Certificate that clients see. With it the proxy speaks TLS. A renewed file is used.",
    example: "/etc/etcd/proxy.pem",
    parse: parseText,
  },
  "key-file": {
    value: "FILE",
    section: "listenTls",
    key: "keyFile",
    isFixed: true,
    together: "cert-file",
    summary: "Key of --cert-file.",
    example: "/etc/etcd/proxy.key",
    parse: parseText,
  },
  "trusted-ca-file": {
    value: "FILE",
    section: "listenTls",
    key: "trustedCaFile",
    isFixed: true,
    together: "cert-file",
    summary:
      "CA certificates of clients. With it each client needs a certificate that one of them has signed; its names do not matter. Not set: every client may connect.",
    example: "/etc/etcd/clients-ca.pem",
    parse: parseText,
  },
  "client-crl-file": {
    value: "FILE",
    section: "listenTls",
    key: "clientCrlFile",
    isFixed: true,
    requires: ["trusted-ca-file"],
    summary: "Client certificates that are revoked: a CRL in DER or PEM form.",
    example: "/etc/etcd/clients.crl",
    parse: parseText,
  },
  "listen-cipher-suites": {
    value: "NAME,...",
    repeatable: true,
    section: "listenTls",
    key: "cipherSuites",
    isFixed: true,
    unset: [] as string[],
    requires: ["cert-file", "auto-tls"],
    conflict: onlyTls13,
    summary:
      "Cipher suites for TLS 1.2, by the names that Go gives them, comma-separated or repeated. Those of TLS 1.3 cannot be chosen. Not set: the default ones.",
    example: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    parse: parseCipherSuites,
  },
  "tls-min-version": {
    value: "VERSION",
    default: "TLS1.2",
    section: "listenTls",
    key: "minVersion",
    isFixed: true,
    requires: ["cert-file", "auto-tls"],
    conflict: aboveMaximum,
    summary: "The oldest version of TLS that clients may use: TLS1.2 or TLS1.3.",
    example: "TLS1.3",
    parse: tlsVersion("tls-min-version"),
  },
  "tls-max-version": {
    value: "VERSION",
    section: "listenTls",
    key: "maxVersion",
    isFixed: true,
    requires: ["cert-file", "auto-tls"],
    summary: "The newest version of TLS that clients may use: TLS1.2 or TLS1.3. Not set: TLS1.3.",
    example: "TLS1.3",
    parse: tlsVersion("tls-max-version"),
  },
  "auto-tls": {
    value: "",
    default: "false",
    section: "listenTls",
    key: "isAuto",
    isFixed: true,
    warning: ignoredAutoTls,
    summary:
      "Speak TLS with a self-signed certificate that the proxy makes, keeps in --data-dir and renews before it expires. It has no effect with --cert-file.",
    example: "true",
    parse: parseBoolean,
  },
  "self-signed-cert-validity": {
    value: "YEARS",
    default: "1",
    section: "listenTls",
    key: "selfSignedValidityYears",
    isFixed: true,
    requires: ["auto-tls"],
    conflict: noValidity,
    summary: "How long the certificate of --auto-tls is valid, in years of 365 days. At most 292.",
    example: "2",
    parse: parseYears,
  },
  "data-dir": {
    value: "DIR",
    default: "default.proxy",
    section: "listenTls",
    key: "dataDir",
    isFixed: true,
    requires: ["auto-tls"],
    summary: "Folder for the certificate of --auto-tls, which is in its fixtures/proxy.",
    example: "/var/lib/etcd-gateway/proxy",
    parse: parseText,
  },
} as const satisfies FlagTable;

function onlyTls13(_: readonly string[], values: Values): string | undefined {
  return values["tls-min-version"] === "TLS1.3"
    ? "cipher suites cannot be configured when only TLS1.3 is enabled"
    : undefined;
}

function aboveMaximum(minimum: TlsVersion, values: Values): string | undefined {
  const maximum = values["tls-max-version"] as TlsVersion | undefined;
  return maximum !== undefined && minimum > maximum
    ? `min version (${minimum}) is greater than max version (${maximum})`
    : undefined;
}

function ignoredAutoTls(isOn: boolean, values: Values): string | undefined {
  return isOn && values["cert-file"] !== undefined
    ? "--auto-tls has no effect with --cert-file"
    : undefined;
}

function noValidity(years: number, values: Values): string | undefined {
  return years === 0 && values["auto-tls"] === true
    ? "selfSignedCertValidity is invalid,it should be greater than 0"
    : undefined;
}
