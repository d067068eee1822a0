// TLS of the proxies that read what they carry, on both sides, as read from flags,
// environment and config file.
import type { EndpointSpec } from "./endpoint-spec.ts";
import type { TlsFiles } from "./gateway-config.ts";

export type TlsVersion = "TLS1.2" | "TLS1.3";

/**
 * PEM files for connections to etcd: `--cacert`, `--cert` and `--key`. If any is set, or
 * verification is off, endpoints without a scheme are dialled with TLS: see `usesTls`.
 */
export interface EtcdTls extends TlsFiles {
  /** `--insecure-skip-tls-verify`: whether any certificate of a member is accepted. */
  readonly insecureSkipVerify: boolean;
}

/** TLS towards clients. It is on if `certFile` is set or `isAuto` is true. Restart only, but the files are read again. */
export interface ListenTls {
  /** Set if and only if `keyFile` is. */
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  /** If set, each client needs a certificate that this CA has signed. Set only if `certFile` is. */
  readonly trustedCaFile: string | undefined;
  /** Revoked client certificates, DER or PEM. It has no effect without `trustedCaFile`. */
  readonly clientCrlFile: string | undefined;
  /** By the names that Go gives them, such as `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`. Empty: the default ones. */
  readonly cipherSuites: readonly string[];
  readonly minVersion: TlsVersion;
  /** Undefined: the newest. Not below `minVersion`. */
  readonly maxVersion: TlsVersion | undefined;
  /** `--auto-tls`: whether a self-signed certificate is made. It has no effect if `certFile` is set. */
  readonly isAuto: boolean;
  /** Years of 365 days. At least 1 if `isAuto`. */
  readonly selfSignedValidityYears: number;
  /** Folder that holds `fixtures/proxy/{cert,key}.pem`, the files of `isAuto`. */
  readonly dataDir: string;
}

/** Whether an endpoint is dialled with TLS: by its own scheme, or if it has none, if TLS is configured. */
export function usesTls({ scheme }: Pick<EndpointSpec, "scheme">, tls: EtcdTls): boolean {
  if (scheme !== undefined) return scheme === "https";
  const { trustedCaFile, certFile, keyFile, insecureSkipVerify } = tls;
  return insecureSkipVerify || [trustedCaFile, certFile, keyFile].some(Boolean);
}
