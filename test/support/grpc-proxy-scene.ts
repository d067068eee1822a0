// What the end-to-end tests of the gRPC proxy share: which proxies they test, a cluster with a
// proxy in front of it, and how a fault of etcd's proxy is declared.
import { test } from "bun:test";
import { EtcdClient } from "./etcd-client.ts";
import { EtcdCluster } from "./etcd-cluster.ts";
import { etcdReleases } from "./etcd-releases.ts";
import { Closers } from "./gateway-command.ts";
import type { GatewayProcess } from "./gateway-process.ts";
import { type GrpcProxyKind, type GrpcProxySubject, startGrpcProxy } from "./grpc-proxy-process.ts";

/** The longest that a test may take which etcd's proxy fails by not answering. */
const FAILING_MS = 3000;

// ETCD_GATEWAY_TEST_PROXY=etcd runs the same tests with etcd's own proxy, as the control; "none"
// runs them without a proxy, to check the tests.
const kind = (process.env["ETCD_GATEWAY_TEST_PROXY"] ?? "ours") as GrpcProxyKind;
const NAMES = { ours: "our gRPC proxy", etcd: "etcd's gRPC proxy", none: "no proxy" };

/** The proxies under test with their names, for `describe.each`. */
export const subjects: readonly [name: string, GrpcProxySubject][] = (await etcdReleases()).map(
  (release) => [`${NAMES[kind]}, etcd ${release.name},`, { kind, release }],
);

/** The proxies under test, for tests with a server of their own instead of etcd. */
export const proxies = kind === "etcd" ? subjects : subjects.slice(0, 1);

/** A fault of etcd's proxy, on which a test fails. */
export interface EtcdFault {
  readonly fault: string;
  /** The first release without it; undefined: all have it. */
  readonly fixedIn?: string;
  /** The first release with it; undefined: the oldest. */
  readonly since?: string;
  /** True if it shows in some runs only, so that the control proves nothing. */
  readonly isRare?: boolean;
}

type ProxyTest = (title: string, body: () => Promise<void>, etcds?: EtcdFault) => void;

/**
 * Returns `test` for a subject. With etcd's proxy, a test that declares a fault of it is
 * expected to fail, so that the declaration stays true.
 */
export function proxyTestOf({ kind, release }: GrpcProxySubject): ProxyTest {
  return (title, body, etcds) => {
    if (kind !== "etcd" || etcds === undefined || !hasFault(etcds, release.name)) test(title, body);
    else if (etcds.isRare === true)
      test.skip(`etcd's proxy sometimes fails: ${title} (${etcds.fault})`, body);
    else
      test(`etcd's proxy fails: ${title} (${etcds.fault})`, async () => {
        const timeout = Bun.sleep(FAILING_MS).then(() => "failed");
        const outcome = body().then(
          () => "passed",
          () => "failed",
        );
        if ((await Promise.race([outcome, timeout])) === "passed")
          throw new Error("etcd's proxy passes this test; remove the declared fault");
      });
  };
}

/** Returns the same for tests that cannot pass without a proxy, such as of balancing. */
export function proxyOnlyTestOf(subject: GrpcProxySubject): ProxyTest {
  return subject.kind === "none" ? (title, body) => test.skip(title, body) : proxyTestOf(subject);
}

function hasFault({ fixedIn, since }: EtcdFault, release: string): boolean {
  return (
    (fixedIn === undefined || isBefore(release, fixedIn)) &&
    (since === undefined || !isBefore(release, since))
  );
}

/** Compares two releases such as "3.4". */
export function isBefore(release: string, other: string): boolean {
  return Number(release.split(".")[1]) < Number(other.split(".")[1]);
}

/** A cluster with a proxy in front of it. Resources of one test are closed by `afterEach`. */
export class GrpcProxyScene {
  cluster!: EtcdCluster;
  proxy!: GatewayProcess;
  readonly #closers = new Closers();
  readonly #testClosers = new Closers();

  constructor(readonly subject: GrpcProxySubject) {}

  /** Starts `size` members and a proxy with these flags. */
  async start(size = 1, flags: readonly string[] = []): Promise<void> {
    const options = { program: this.subject.release.etcd };
    this.cluster = this.#closers.add(await EtcdCluster.start(size, undefined, options));
    const all = [`--endpoints=${this.cluster.endpoints}`, ...flags];
    this.proxy = this.#closers.add(await startGrpcProxy(this.subject, all));
  }

  /** Starts another proxy in front of the cluster, which ends with the test. */
  async anotherProxy(flags: readonly string[] = []): Promise<GatewayProcess> {
    const all = [`--endpoints=${this.cluster.endpoints}`, ...flags];
    return this.#testClosers.add(await startGrpcProxy(this.subject, all));
  }

  /** Connects to the first member. The connection ends with the test. */
  async direct(): Promise<EtcdClient> {
    return this.#testClosers.add(await EtcdClient.connect(this.cluster.members[0]!.address));
  }

  /** Connects to the proxy. The connection ends with the test. */
  async through(proxy = this.proxy): Promise<EtcdClient> {
    return this.#testClosers.add(await EtcdClient.connect(proxy.address));
  }

  /** Returns the number of watchers at the first member. */
  async watchers(): Promise<number> {
    return await metricOf(this.cluster.members[0]!.address, "etcd_debugging_mvcc_watcher_total");
  }

  /** Returns the same once those of earlier tests are gone: unchanged for 100 ms. */
  async settledWatchers(): Promise<number> {
    for (let last = -1; ;) {
      const now = await this.watchers();
      if (now === last) return now;
      last = now;
      await Bun.sleep(100);
    }
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

/** Returns a metric without labels of a member. */
export async function metricOf(address: string, name: string): Promise<number> {
  const response = await fetch(`http://${address}/metrics`, { keepalive: false });
  const [, value] = new RegExp(`^${name} (\\S+)$`, "m").exec(await response.text())!;
  return Number(value);
}
