// The gateway's own requests to etcd, by TLS and HTTP; its clients' traffic does not
// pass here. Each call reads the TLS files again, since certificates are renewed
// while the gateway runs.
import type { HostPort } from "../core/address.ts";
import type { TlsFiles } from "../core/gateway-config.ts";
import { type Answer, send } from "./http.ts";
import { checkTlsFiles, handshake, readTlsFiles, type TlsFlags } from "./tls.ts";

/** A POST of JSON if it has a body, else a GET. */
export interface HttpRequest {
  readonly path: string;
  readonly body?: unknown;
  readonly token?: string;
  /** Undefined for plain HTTP. */
  readonly tls: TlsFiles | undefined;
  readonly timeoutMs: number;
}

/** Returns the functions that connect to etcd. Their errors name the TLS files by `flags`. */
export function createEtcdClient(flags: TlsFlags) {
  return {
    checkTlsFiles: (files: TlsFiles): Promise<void> => checkTlsFiles(files, flags),

    /**
     * Verifies by a TLS handshake that the server has a certificate for one of `names`.
     *
     * @throws {Error} with a `code`, or a TlsFileError.
     */
    async verify(
      address: HostPort,
      names: readonly string[],
      { tls, timeoutMs }: { readonly tls: TlsFiles; readonly timeoutMs: number },
    ): Promise<void> {
      await handshake({ address, names, tls: await readTlsFiles(tls, flags), timeoutMs });
    },

    /**
     * Sends an HTTP request and resolves with the response, whatever its status.
     *
     * @throws {Error} with a `code`, or a TlsFileError.
     */
    async request(
      address: HostPort,
      names: readonly string[],
      { tls, ...httpRequest }: HttpRequest,
    ): Promise<Answer> {
      const options = tls && (await readTlsFiles(tls, flags));
      return send({ address, names, tls: options, ...httpRequest });
    },
  };
}
