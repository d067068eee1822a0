// How a question to DNS ends: with a value, or with the code of what went wrong.

/** Codes are node:dns's where it has one, so that logs and messages keep their words. */
export type Result<T> = { readonly value: T } | { readonly code: string };

/** The name does not exist, or has no record of the type; no other server is asked. */
export const NOT_FOUND = "ENOTFOUND";

/** A server did not answer within the timeout. */
export const TIMED_OUT = "ETIMEOUT";

/** The caller's signal was aborted. */
export const CANCELLED = "ECANCELLED";

/** An answer could not be decoded, or has a response code that makes no sense for the question. */
export const BAD_RESPONSE = "EBADRESP";

/** The server knows neither an answer nor another way to get one. */
export const LAME_REFERRAL = "ELAMEREFERRAL";

/** Returns the `code` of an I/O error, or a code that stands for one without. */
export function codeOf(error: unknown): string {
  return (error as { code?: string } | undefined)?.code ?? "EIO";
}
