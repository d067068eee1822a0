// How one side of a TLS connection behaves, as os/ builds it and net/ applies it.
import type { PeerCertificate } from "node:tls";

/** Access to the certificates that a peer sent. */
export interface TlsPeer {
  /** `isAbbreviated`: without the chain in `issuerCertificate`. Nothing if the peer sent none. */
  getPeerCertificate(isAbbreviated: boolean): Partial<PeerCertificate> | null | undefined;
}

/** Why a peer is refused. */
export interface TlsFault {
  /** A verification result of OpenSSL, such as `CERT_HAS_EXPIRED`, or a code of node:tls. */
  readonly code: string;
  readonly message: string;
}

export interface TlsSettings {
  readonly isServer: boolean;
  /** The `tls` options of Bun's upgradeTLS. */
  readonly options: Bun.TLSOptions;
  /**
   * Decides about a peer that completed the handshake: returns why it is refused, or
   * undefined. `fault` is what OpenSSL found; undefined: the certificate's chain is trusted.
   */
  verify(peer: TlsPeer, fault: TlsFault | undefined): TlsFault | undefined;
}
