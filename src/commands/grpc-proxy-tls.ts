// TLS of the gRPC proxy from files: the listener's certificate, its own if --auto-tls is
// set, and the files for etcd.
import type { Clock } from "../core/clock.ts";
import type { EtcdTls, ListenTls } from "../core/tls-config.ts";
import { StartError } from "../core/start-error.ts";
import type { TlsSettings } from "../core/tls.ts";
import type { ProxyTls } from "../grpc-proxy/proxy-tls.ts";
import type { Log, Logger } from "../observe/log.ts";
import { AutoTls } from "../os/auto-tls.ts";
import { checkEmptyCommonName, ClientTls } from "../os/client-tls.ts";
import { wallClock } from "../os/clock.ts";
import { ListenerTls } from "../os/listener-tls.ts";
import { readTlsFiles, TlsFileError, type TlsFlags, type TlsOptions } from "../os/tls.ts";

const LISTENER_FLAGS = {
  certFile: "--cert-file",
  keyFile: "--key-file",
  trustedCaFile: "--trusted-ca-file",
  clientCrlFile: "--client-crl-file",
};

/** Of the listener and of the connections to etcd, the preferred first. */
const LISTENER_PROTOCOLS = ["h2", "http/1.1"];
const ETCD_PROTOCOLS = ["h2"];

export class FileTls implements ProxyTls {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #config: ListenTls;
  readonly #flags: TlsFlags;
  #auto: AutoTls | undefined;
  #listener: ListenerTls | undefined;
  /** Of the last dial. Most dials find the same files, and parsing them takes long. */
  #client: { readonly tls: TlsOptions; readonly settings: ClientTls } | undefined;

  /** `flags`: those that set the files for etcd. */
  constructor(config: ListenTls, clock: Clock, log: Log, flags: TlsFlags) {
    this.#config = config;
    this.#clock = clock;
    this.#log = log.from("commands/grpc-proxy-tls.ts");
    this.#flags = flags;
  }

  get isListening(): boolean {
    return this.#config.certFile !== undefined || this.#config.isAuto;
  }

  get clientSettings(): TlsSettings | undefined {
    return this.#listener?.settings;
  }

  async start(listenHost: string): Promise<void> {
    if (!this.isListening) return;
    const { certFile, keyFile } = this.#config;
    const pair =
      certFile === undefined ? await this.#createPair(listenHost) : { certFile, keyFile };
    const { trustedCaFile, clientCrlFile, cipherSuites, minVersion, maxVersion } = this.#config;
    this.#listener = new ListenerTls(
      this.#clock,
      {
        ...{ certFile: pair.certFile, keyFile: pair.keyFile!, trustedCaFile, clientCrlFile },
        ...{ cipherSuites, minVersion, maxVersion },
        alpnProtocols: LISTENER_PROTOCOLS,
        flags: LISTENER_FLAGS,
      },
      {
        renewed: (files) => this.#log.info("files of the listener changed", { files }),
        failed: (message) => this.#log.warn(message),
      },
    );
    await asStartError(this.#listener.start());
    this.#log.info("gRPC proxy server TLS", {
      "cert-file": pair.certFile,
      "trusted-ca-file": trustedCaFile,
      "client-crl-file": clientCrlFile,
    });
  }

  async #createPair(listenHost: string): Promise<{ certFile: string; keyFile: string }> {
    const { dataDir, selfSignedValidityYears } = this.#config;
    this.#auto = new AutoTls(
      {
        ...{ dataDir, listenHost, wallClock, clock: this.#clock },
        validityYears: selfSignedValidityYears,
      },
      {
        created: (certFile, notAfter) =>
          this.#log.info("created a self-signed certificate", { file: certFile, until: notAfter }),
        failed: (message) => this.#log.warn(message),
      },
    );
    await this.#auto.start();
    return this.#auto;
  }

  async memberSettings(files: EtcdTls, names: readonly string[]): Promise<TlsSettings> {
    const { insecureSkipVerify } = files;
    const tls = await readTlsFiles(files, this.#flags);
    if (this.#client === undefined || !isSame(this.#client.tls, tls)) {
      const alpnProtocols = ETCD_PROTOCOLS;
      this.#client = { tls, settings: new ClientTls({ tls, insecureSkipVerify, alpnProtocols }) };
    }
    return this.#client.settings.settingsFor(names);
  }

  async checkMemberFiles({ certFile }: EtcdTls): Promise<void> {
    if (certFile !== undefined)
      await asStartError(checkEmptyCommonName(certFile, this.#flags.certFile));
  }

  close(): void {
    this.#listener?.close();
    this.#auto?.close();
  }
}

function isSame(a: TlsOptions, b: TlsOptions): boolean {
  return (
    a.cert === b.cert &&
    a.key === b.key &&
    a.isUnverified === b.isUnverified &&
    a.ca.length === b.ca.length &&
    [...a.ca].every((certificate, i) => certificate === b.ca[i])
  );
}

/** A file that cannot be used may be in the middle of its renewal: another start may succeed. */
async function asStartError(step: Promise<void>): Promise<void> {
  try {
    await step;
  } catch (error) {
    if (!(error instanceof TlsFileError)) throw error;
    throw new StartError(error.message, { cause: error });
  }
}
