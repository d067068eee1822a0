// Parts of the TLS settings of listeners and dials that only Bun needs.
import type { SecureContext } from "node:tls";

export interface UpgradeOptions {
  readonly context: SecureContext;
  /** For ALPN, the preferred first. Empty: no ALPN. */
  readonly alpnProtocols: readonly string[];
  readonly requestCert?: boolean;
  readonly rejectUnauthorized: boolean;
  /** For SNI. Bun also compares it with the certificate, and reports a mismatch. */
  readonly serverName?: string | undefined;
}

/** Returns the `tls` options of Bun's upgradeTLS. */
export function upgradeOptions(upgrade: UpgradeOptions): Bun.TLSOptions {
  const { context, alpnProtocols, serverName, ...rest } = upgrade;
  const options = {
    ...rest,
    // Not in Bun's types: the native context, so that it is not built for each connection.
    secureContext: context.context as unknown,
    ...(alpnProtocols.length > 0 && { ALPNProtocols: wireForm(alpnProtocols) }),
    ...(serverName !== undefined && { serverName }),
  };
  return options;
}

/** Encodes protocol names as in ALPN (RFC 7301): Bun takes a plain name, and then refuses every client. */
function wireForm(protocols: readonly string[]): string {
  return protocols.map((name) => String.fromCharCode(name.length) + name).join("");
}
