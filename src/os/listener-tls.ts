// The TLS settings of a listener: reads its files again when they change, and decides
// which clients are accepted. Opens no socket.
import type { DetailedPeerCertificate, PeerCertificate } from "node:tls";
import type { Clock } from "../core/clock.ts";
import type { TlsFault, TlsPeer, TlsSettings } from "../core/tls.ts";
import { type ListenerTlsOptions, watchPair, watchRevocations } from "./listener-files.ts";
import { serialKey } from "./revocation-list.ts";
import type { WatchedFiles } from "./watched-files.ts";

// etcd reads the files at each handshake. Here a renewal or a revocation takes a second
// longer, and a handshake waits for no file.
const CHECK_INTERVAL_MS = 1000;

/** What happens while the listener runs, for the log. */
export interface ListenerTlsEvents {
  /** Handshakes use the changed files from now on. */
  renewed(files: "certificate" | "revocation list"): void;
  /** Changed files cannot be used. The message names the file, the reason and the consequence. */
  failed(message: string): void;
}

export class ListenerTls {
  readonly #clock: Clock;
  readonly #events: ListenerTlsEvents;
  readonly #requiresCertificate: boolean;
  readonly #pair: WatchedFiles<TlsSettings>;
  readonly #revocations: WatchedFiles<ReadonlySet<string>> | undefined;
  /** Why the revocation list cannot be used. */
  #revocationFault: string | undefined;
  /** Why the changed certificate, key and CA cannot be used, and whether that was reported. */
  #pairFault: { readonly message: string; isReported: boolean } | undefined;
  #cancelTimer = () => {};
  #isClosed = false;

  /**
   * Reads nothing; `start` does.
   *
   * @throws {RangeError} for a cipher suite that cannot be offered.
   */
  constructor(clock: Clock, options: ListenerTlsOptions, events: ListenerTlsEvents) {
    const { trustedCaFile, clientCrlFile, flags } = options;
    this.#clock = clock;
    this.#events = events;
    this.#requiresCertificate = trustedCaFile !== undefined;
    this.#pair = watchPair(options, (peer, fault) => this.#verify(peer, fault));
    if (clientCrlFile !== undefined)
      this.#revocations = watchRevocations(clientCrlFile, flags.clientCrlFile);
  }

  /** The settings for the next handshake. `start` must have resolved. */
  get settings(): TlsSettings {
    return this.#pair.value!;
  }

  /**
   * Reads the files, and again every second from then on.
   *
   * @throws {TlsFileError} if a file cannot be used.
   */
  async start(): Promise<void> {
    await this.#pair.refresh();
    await this.#revocations?.refresh();
    this.#watch();
  }

  /** Stops reading the files. The settings may still be used. May be called twice. */
  close(): void {
    this.#isClosed = true;
    this.#cancelTimer();
  }

  #watch(): void {
    if (this.#isClosed) return;
    this.#cancelTimer = this.#clock.after(CHECK_INTERVAL_MS, () => void this.#check());
  }

  async #check(): Promise<void> {
    await Promise.all([this.#checkPair(), this.#checkRevocations()]);
    this.#watch();
  }

  async #checkPair(): Promise<void> {
    try {
      const isRenewed = await this.#pair.refresh();
      this.#pairFault = undefined;
      if (isRenewed) this.#events.renewed("certificate");
    } catch (error) {
      const { message } = error as Error;
      // Certificate and key are seldom replaced at the same moment, so a fault counts from
      // the second check.
      if (this.#pairFault?.message !== message) {
        this.#pairFault = { message, isReported: false };
      } else if (!this.#pairFault.isReported) {
        this.#pairFault.isReported = true;
        this.#events.failed(`${message}; the last valid files stay in use`);
      }
    }
  }

  async #checkRevocations(): Promise<void> {
    try {
      const isRenewed = await this.#revocations?.refresh();
      const wasFaulty = this.#revocationFault !== undefined;
      this.#revocationFault = undefined;
      if (isRenewed || wasFaulty) this.#events.renewed("revocation list");
    } catch (error) {
      const { message } = error as Error;
      if (message === this.#revocationFault) return;
      this.#revocationFault = message;
      this.#events.failed(`${message}; every client is refused until it can be used`);
    }
  }

  #verify(peer: TlsPeer, fault: TlsFault | undefined): TlsFault | undefined {
    // A list that cannot be used must not admit the clients that it would refuse.
    if (this.#revocationFault !== undefined)
      return { code: "UNABLE_TO_GET_CRL", message: this.#revocationFault };
    // OpenSSL also finds a fault in the absence of a certificate that was not requested.
    if (!this.#requiresCertificate) return undefined;
    if (fault !== undefined) return fault;

    const certificate = peer.getPeerCertificate(false);
    // OpenSSL has refused such a client already.
    if (!certificate?.serialNumber) return { code: "NO_CERTIFICATE", message: "no certificate" };
    if (this.#revocations === undefined) return undefined;
    return findRevoked(certificate as DetailedPeerCertificate, this.#revocations.value!);
  }
}

/** Returns the fault of a chain that has a revoked certificate. Like etcd, compares serial numbers only. */
function findRevoked(
  leaf: DetailedPeerCertificate,
  revoked: ReadonlySet<string>,
): TlsFault | undefined {
  const seen = new Set<PeerCertificate>();
  let certificate: DetailedPeerCertificate | undefined = leaf;
  while (certificate?.serialNumber !== undefined && !seen.has(certificate)) {
    const { serialNumber } = certificate;
    if (revoked.has(serialKey(serialNumber)))
      return { code: "CERT_REVOKED", message: `certificate serial ${serialNumber} revoked` };
    seen.add(certificate); // a root is its own issuer
    certificate = certificate.issuerCertificate;
  }
  return undefined;
}
