// The result of a DNS lookup: a value or an error code.

/** Codes are those of node:dns where it has one, since logs and messages map them to text. */
export type Result<T> = { readonly value: T } | { readonly code: string };

/** The name does not exist or has no record of the type. No further server is queried. */
export const NOT_FOUND = "ENOTFOUND";

/** No answer arrived within the timeout. */
export const TIMED_OUT = "ETIMEOUT";

/** The caller's signal was aborted. */
export const CANCELLED = "ECANCELLED";

/** The answer cannot be decoded, or its response code is unknown. */
export const BAD_RESPONSE = "EBADRESP";

/** The server has no answer and does not do recursion. */
export const LAME_REFERRAL = "ELAMEREFERRAL";

/** Returns the `code` of an I/O error; EIO if it has none. */
export function codeOf(error: unknown): string {
  return (error as { code?: string } | undefined)?.code ?? "EIO";
}
