// The network as a proxy's own requests use it: name lookups, TLS and HTTP. Each part
// is loaded when it is first needed, since a proxy whose endpoints are addresses
// needs none of them.
import type { TlsFile } from "../core/gateway-config.ts";
import type { Network } from "../resolver/cluster-io.ts";

/** The flags by which the gateway names each file, for errors. */
const GATEWAY_TLS_FLAGS: Readonly<Record<TlsFile, string>> = {
  trustedCaFile: "--trusted-ca-file",
  certFile: "--cert-file",
  keyFile: "--key-file",
};

/**
 * Opens nothing yet. `environment` has the variables that the C library's resolver obeys;
 * `tlsFlags` are the flags that set the files.
 */
export function createNetwork(
  environment: Readonly<Record<string, string | undefined>>,
  tlsFlags = GATEWAY_TLS_FLAGS,
): Network {
  const names = once(async () => {
    const { createNameResolver } = await import("./name-resolver.ts");
    return createNameResolver(environment);
  });
  const etcd = once(async () => {
    const { createEtcdClient } = await import("../os/network.ts");
    return createEtcdClient(tlsFlags);
  });

  return {
    lookup: async (...args) => (await names()).lookup(...args),
    resolveSrv: async (...args) => (await names()).resolveSrv(...args),
    verify: async (...args) => (await etcd()).verify(...args),
    request: async (...args) => (await etcd()).request(...args),
    async checkTlsFiles(files) {
      const isNamed = Object.values(files).some((path) => typeof path === "string");
      if (isNamed) await (await etcd()).checkTlsFiles(files);
    },
  };
}

/** Returns a function that calls `make` at its first call, and returns that result ever after. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
