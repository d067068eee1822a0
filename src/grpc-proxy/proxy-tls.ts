// TLS as the proxy uses it, on both sides. The system's part builds the settings from files.
import type { EtcdTls } from "../core/tls-config.ts";
import type { TlsSettings } from "../core/tls.ts";

export interface ProxyTls {
  /**
   * Reads the files of the listener, and follows their changes from then on. `listenHost` is
   * the host of --listen-addr, for a self-signed certificate.
   *
   * @throws {StartError} if a file cannot be used.
   */
  start(listenHost: string): Promise<void>;
  /** Whether clients must speak TLS. */
  readonly isListening: boolean;
  /** The settings for the next client's handshake. Undefined before `start`, or without TLS. */
  readonly clientSettings: TlsSettings | undefined;
  /**
   * Reads the files for etcd and returns the settings for a member whose certificate must
   * hold one of `names`.
   *
   * @throws {Error} if a file cannot be used.
   */
  memberSettings(files: EtcdTls, names: readonly string[]): Promise<TlsSettings>;
  /**
   * Checks the files for etcd.
   *
   * @throws {StartError} if one cannot be used, or the certificate has a common name.
   */
  checkMemberFiles(files: EtcdTls): Promise<void>;
  /** Stops following the files. May be called twice. */
  close(): void;
}
