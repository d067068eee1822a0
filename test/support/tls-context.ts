// TLS settings for tests, made of the real readers of files.
import type { TlsSettings } from "../../src/core/tls.ts";
import { systemClock } from "../../src/os/clock.ts";
import { ClientTls, type ClientTlsOptions } from "../../src/os/client-tls.ts";
import type { ListenerTlsOptions } from "../../src/os/listener-files.ts";
import { ListenerTls } from "../../src/os/listener-tls.ts";
import { readTlsFiles } from "../../src/os/tls.ts";
import type { KeyPair } from "./tls-certificates.ts";

export const LISTENER_FLAGS = {
  certFile: "--cert-file",
  keyFile: "--key-file",
  trustedCaFile: "--trusted-ca-file",
  clientCrlFile: "--client-crl-file",
};
export const CLIENT_FLAGS = { certFile: "--cert", keyFile: "--key", trustedCaFile: "--cacert" };

/** Returns the options of a listener that serves a pair, and requests no client certificate. */
export function listenerOptions(
  { cert, key }: KeyPair,
  options: Partial<ListenerTlsOptions> = {},
): ListenerTlsOptions {
  return {
    ...{ certFile: cert, keyFile: key, trustedCaFile: undefined, clientCrlFile: undefined },
    ...{ cipherSuites: [], minVersion: "TLS1.2", maxVersion: undefined },
    ...{ alpnProtocols: ["h2", "http/1.1"], flags: LISTENER_FLAGS },
    ...options,
  };
}

/** Returns the settings of a listener whose files do not change. */
export async function serverSettings(
  pair: KeyPair,
  options?: Partial<ListenerTlsOptions>,
): Promise<TlsSettings> {
  const listener = new ListenerTls(systemClock, listenerOptions(pair, options), {
    renewed: () => {},
    failed: () => {},
  });
  await listener.start();
  listener.close();
  return listener.settings;
}

export interface ClientOptions extends Partial<ClientTlsOptions> {
  /** PEM file; undefined: the system's store. */
  readonly ca?: string;
  readonly pair?: KeyPair;
  /** Default: `localhost`. */
  readonly names?: readonly string[];
}

/** Returns the settings of a dial. */
export async function clientSettings(options: ClientOptions): Promise<TlsSettings> {
  const { ca, pair, names = ["localhost"], ...rest } = options;
  const files = { trustedCaFile: ca, certFile: pair?.cert, keyFile: pair?.key };
  const tls = await readTlsFiles(files, CLIENT_FLAGS);
  const client = new ClientTls({ tls, insecureSkipVerify: false, alpnProtocols: ["h2"], ...rest });
  return client.settingsFor(names);
}
