// Why a dial failed, in the words of Go's net package, which is what those who
// read etcd's gateway log search for.

/**
 * Errors that say something of this machine and nothing of the endpoint. Not
 * EADDRNOTAVAIL: where IPv6 is off, that is how every IPv6 address fails.
 */
const LOCAL_CODES = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);

const WORDS: Record<string, string> = {
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
  ENFILE: "too many open files in system",
  ENOTIMP: "server misbehaving",
  EREFUSED: "server misbehaving",
  ESERVFAIL: "server misbehaving",
  ETIMEDOUT: "i/o timeout",
  ETIMEOUT: "i/o timeout",
};

/** A dial that failed; the message says what was tried. */
export class DialError extends Error {
  override name = "DialError";

  /** `tried` is what failed (`dial tcp 127.0.0.1:1: connect`), `code` an errno's name or one of a lookup's. */
  constructor(
    tried: string,
    readonly code: string,
  ) {
    super(`${tried}: ${WORDS[code] ?? code}`);
  }

  /** This machine ran out of descriptors or memory: no endpoint is to blame. */
  get isLocal(): boolean {
    return LOCAL_CODES.has(this.code);
  }
}
