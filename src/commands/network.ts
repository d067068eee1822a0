// The network as a proxy's own requests use it: name lookups, TLS and HTTP. Each part
// is loaded when it is first needed, since a proxy whose endpoints are addresses
// needs none of them.
import type { Network } from "../resolver/cluster-io.ts";

const TLS_FLAGS = {
  trustedCaFile: "--trusted-ca-file",
  certFile: "--cert-file",
  keyFile: "--key-file",
};

/** Opens nothing yet. `environment` has the variables that the C library's resolver obeys. */
export function createNetwork(environment: Readonly<Record<string, string | undefined>>): Network {
  const names = once(async () => {
    const { createNameResolver } = await import("./name-resolver.ts");
    return createNameResolver(environment);
  });
  const etcd = once(async () => {
    const { createEtcdClient } = await import("../os/network.ts");
    return createEtcdClient(TLS_FLAGS);
  });

  return {
    lookup: async (...args) => (await names()).lookup(...args),
    resolveSrv: async (...args) => (await names()).resolveSrv(...args),
    verify: async (...args) => (await etcd()).verify(...args),
    request: async (...args) => (await etcd()).request(...args),
    async checkTlsFiles(files) {
      const isNamed = Object.values(files).some((path) => path !== undefined);
      if (isNamed) await (await etcd()).checkTlsFiles(files);
    },
  };
}

/** Returns a function that calls `make` at its first call, and returns that result ever after. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
