// What the end-to-end tests of the gRPC proxy's TLS share: two authorities, members with TLS,
// and proxies in front of them. Resources of one test are closed by `afterEach`.
import { copyFile } from "node:fs/promises";
import type { SecureClientSessionOptions } from "node:http2";
import { readFileSync } from "node:fs";
import { EtcdClient } from "./etcd-client.ts";
import { type EtcdRelease, etcdReleases } from "./etcd-releases.ts";
import { Closers, eventually } from "./gateway-command.ts";
import type { GatewayOptions, GatewayProcess, LogLine } from "./gateway-process.ts";
import { startGrpcProxy } from "./grpc-proxy-process.ts";
import { KV } from "./etcd-rpcs.ts";
import type { GrpcAnswer } from "./grpc-client.ts";
import { SingleEtcd, type SingleEtcdOptions } from "./single-etcd.ts";
import { Authority, type KeyPair } from "./tls-certificates.ts";

/** The releases under test with their names, for `describe.each`. */
export const releases: readonly [name: string, EtcdRelease][] = (await etcdReleases()).map(
  (release) => [release.name, release],
);

export class GrpcProxyTlsScene {
  authority!: Authority;
  /** An authority that no proxy and no member trusts. */
  stranger!: Authority;
  readonly release: EtcdRelease;
  readonly #closers = new Closers();
  readonly #testClosers = new Closers();
  #serial = 0;

  constructor(release: EtcdRelease) {
    this.release = release;
  }

  async start(): Promise<void> {
    this.authority = this.#closers.add(await Authority.create());
    this.stranger = this.#closers.add(await Authority.create());
  }

  /** Issues a certificate for a client of etcd, without a common name. */
  async clientPair(authority = this.authority): Promise<KeyPair> {
    return await authority.certify(`client${this.#serial++}`, {
      section: "client",
      names: ["DNS:proxy.test"],
      signer: authority.pair,
      subject: "",
    });
  }

  /** Issues a certificate for a server on loopback. */
  async serverPair(authority = this.authority, names?: readonly string[]): Promise<KeyPair> {
    return await authority.issue(`server${this.#serial++}`, { ...(names && { names }) });
  }

  /** Starts a member, which ends with the test. */
  async etcd(options: Omit<SingleEtcdOptions, "release"> = {}): Promise<SingleEtcd> {
    return this.add(await SingleEtcd.start({ release: this.release, ...options }));
  }

  /** Starts a member for all tests. */
  async sharedEtcd(options: Omit<SingleEtcdOptions, "release">): Promise<SingleEtcd> {
    return this.#closers.add(await SingleEtcd.start({ release: this.release, ...options }));
  }

  /** Starts a member that serves this pair; with `clientCa`, it requires client certificates. */
  async secureEtcd(pair: KeyPair, clientCa?: string): Promise<SingleEtcd> {
    const clientFlags =
      clientCa === undefined ? [] : [`--trusted-ca-file=${clientCa}`, "--client-cert-auth"];
    return await this.etcd({
      flags: () => [`--cert-file=${pair.cert}`, `--key-file=${pair.key}`, ...clientFlags],
    });
  }

  /** Starts our proxy, which ends with the test. */
  async proxy(flags: readonly string[], options?: GatewayOptions): Promise<GatewayProcess> {
    const subject = { kind: "ours", release: this.release } as const;
    return this.add(await startGrpcProxy(subject, flags, options));
  }

  /** Starts etcd's own proxy, as the control. */
  async etcdsProxy(flags: readonly string[]): Promise<GatewayProcess> {
    return this.add(await startGrpcProxy({ kind: "etcd", release: this.release }, flags));
  }

  /** Connects to a member or a proxy. The connection ends with the test. */
  async connect(address: string, tls?: SecureClientSessionOptions): Promise<EtcdClient> {
    return this.add(await EtcdClient.connect(address, tls));
  }

  /** Returns what a client of the authority needs, with its own certificate if it has a pair. */
  clientTls(pair?: KeyPair): SecureClientSessionOptions {
    return {
      ca: readFileSync(this.authority.cert),
      ...(pair && { cert: readFileSync(pair.cert), key: readFileSync(pair.key) }),
    };
  }

  /** Registers a resource of the test and returns it. */
  add<T extends { close(): unknown }>(resource: T): T {
    return this.#testClosers.add(resource);
  }

  /** For `afterEach`. */
  async endTest(): Promise<void> {
    await this.#testClosers.close();
  }

  async close(): Promise<void> {
    await this.#testClosers.close();
    await this.#closers.close();
  }
}

/** Replaces the files of a pair by those of another. */
export async function replace(pair: KeyPair, by: KeyPair): Promise<void> {
  await copyFile(by.cert, pair.cert);
  await copyFile(by.key, pair.key);
}

export const put = (client: EtcdClient): Promise<GrpcAnswer> =>
  client.answer(KV.Put, { key: "k", value: "v" });

/** Resolves once a write passes. */
export async function putPasses(client: EtcdClient): Promise<void> {
  await eventually(async () => (await put(client)).status === 0 || undefined, "a write passed");
}

/** Returns the errors that were logged about endpoints that are down. */
export function downErrors(log: readonly LogLine[]): string[] {
  return log
    .filter(({ msg }) => /^(deactivated|failed to activate) endpoint/.test(msg))
    .map(({ error }) => String(error));
}
