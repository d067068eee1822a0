// The error of a failed dial. Its messages are those of Go's net package, which
// operators know from etcd's gateway log and search for.

/**
 * Errors of this machine, which prove nothing about the endpoint. EADDRNOTAVAIL
 * is not one: every IPv6 address fails with it if IPv6 is off.
 */
const LOCAL_CODES = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);

const MESSAGES: Record<string, string> = {
  EACCES: "permission denied",
  EADDRNOTAVAIL: "cannot assign requested address",
  EAFNOSUPPORT: "address family not supported by protocol",
  ECONNREFUSED: "connection refused",
  EAI_AGAIN: "temporary failure in name resolution", // the C library's words
  EBADRESP: "cannot unmarshal DNS message",
  ECONNRESET: "connection reset by peer",
  EFORMERR: "server misbehaving",
  EHOSTUNREACH: "no route to host",
  ELAMEREFERRAL: "lame referral",
  EMFILE: "too many open files",
  ENETUNREACH: "network is unreachable",
  ENOTFOUND: "no such host",
  ENOENT: "no such file or directory",
  ENFILE: "too many open files in system",
  ENOTIMP: "server misbehaving",
  EREFUSED: "server misbehaving",
  ESERVFAIL: "server misbehaving",
  ETIMEDOUT: "i/o timeout",
  ETIMEOUT: "i/o timeout",
};

/** A failed dial. The message names the operation and the cause. */
export class DialError extends Error {
  override name = "DialError";

  /**
   * `operation` is what failed, such as `dial tcp 127.0.0.1:1: connect`; `code` is
   * an errno's name or a code of a name lookup.
   */
  constructor(
    operation: string,
    readonly code: string,
  ) {
    super(`${operation}: ${MESSAGES[code] ?? code}`);
  }

  /** Whether this machine ran out of descriptors or memory, so the endpoint is not at fault. */
  get isLocal(): boolean {
    return LOCAL_CODES.has(this.code);
  }
}
