// Describes why a TLS handshake or an HTTP request to an endpoint failed, in words
// for operators, and whether the server answered at all. It names no flag: those of the
// proxies differ.

const MESSAGES: Record<string, string> = {
  CERT_HAS_EXPIRED: "its certificate has expired",
  CERT_NOT_YET_VALID: "its certificate is not yet valid",
  CERT_REVOKED: "its certificate was revoked",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed and not trusted",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is signed by an unknown authority",
  UNABLE_TO_GET_ISSUER_CERT: "its certificate is signed by an unknown authority",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate is signed by an unknown authority",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is signed by an unknown authority",
  CERT_SIGNATURE_FAILURE: "its certificate is signed by an unknown authority",
  INVALID_CA: "its certificate's issuer is not a certificate authority",
  // OpenSSL also reports this code for an issuer that is not an authority.
  INVALID_PURPOSE: "its certificate is not for servers, or its issuer is not an authority",
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak TLS",
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE:
    "it refused the handshake; under TLS 1.2 it may demand a client certificate",
  // Go's servers send this alert for the lack of a certificate, too.
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: "it refuses the client certificate, or demands one",
  ERR_SSL_TLSV1_ALERT_CERTIFICATE_REQUIRED: "it demands a client certificate",
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: "it does not trust the issuer of the client certificate",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "it closed the connection (does only one side use TLS?)",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  ETIMEDOUT: "no answer in time",
};

const UNREACHED_CODES = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
]);

/** Whether the server gave no answer at all: refused, reset, unreachable or timed out. */
export function isUnreached(error: unknown): boolean {
  return UNREACHED_CODES.has((error as { code?: string }).code ?? "");
}

/** Returns why a handshake or request rejected with `error`, as a clause whose subject is the server. */
export function describeTlsError(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return describeNameMismatch(message ?? "");
  return MESSAGES[String(code)] ?? message ?? String(error);
}

/** Reads both names from Bun's message: `... Host: a.test. is not in the cert's altnames: DNS:b.test`. */
function describeNameMismatch(message: string): string {
  const [, wanted, held] =
    /(?:Host|IP): (\S+?)\.? is not (?:in the cert's (?:altnames|list):|cert's CN:) (.*)$/.exec(
      message,
    ) ?? [];
  return wanted === undefined
    ? "its certificate is for another name"
    : `its certificate is for another name than "${wanted}" (it holds ${held || "none"})`;
}
