// Sets socket options that Bun's API lacks or sets differently. If the kernel refuses an
// option, the caller decides what to do.
import { abi, isDarwin } from "./abi.ts";
import { lastError, libc } from "./libc.ts";

const IPPROTO_TCP = 6;

// Unanswered probes before the kernel gives up. Their interval is the keepalive time
// divided by this number, so a silent peer is dropped after twice the keepalive time.
const KEEPALIVE_PROBES = 3;

// setsockopt copies the value, so all calls share one buffer.
const int = new Int32Array(1);

/** A socket option that the kernel refused to set on an open socket. */
export interface OptionFailure {
  /** The option's name in C, such as `TCP_KEEPIDLE`. */
  readonly option: string;
  /** The errno's name. */
  readonly code: string;
}

/**
 * Sets TCP keepalive: the kernel probes a peer that has been silent for `ms`, rounded up
 * to whole seconds, and drops it after the same time again. 0 turns keepalive off. Sets
 * every option even if one fails, and returns the first failure.
 */
export function setKeepAlive(fd: number, ms: number): OptionFailure | undefined {
  const { SOL_SOCKET } = abi;
  if (ms === 0) return setOption(fd, SOL_SOCKET, "SO_KEEPALIVE", 0);
  const failures = [
    setOption(fd, SOL_SOCKET, "SO_KEEPALIVE", 1),
    setOption(fd, IPPROTO_TCP, "TCP_KEEPIDLE", wholeSeconds(ms)),
    setOption(fd, IPPROTO_TCP, "TCP_KEEPINTVL", wholeSeconds(ms / KEEPALIVE_PROBES)),
    setOption(fd, IPPROTO_TCP, "TCP_KEEPCNT", KEEPALIVE_PROBES),
  ];
  return failures.find((failure) => failure !== undefined);
}

/**
 * Sets TCP_USER_TIMEOUT: the kernel drops a connection whose peer has not acknowledged
 * sent bytes, or kept its receive window closed, for `ms`. 0 restores the system's default
 * of about 15 minutes. For connections to servers, since it also drops a live peer that
 * does not read.
 *
 * @see tcp(7), RFC 5482
 */
export function setUserTimeout(fd: number, ms: number): OptionFailure | undefined {
  const units = Math.ceil(ms / abi.TCP_USER_TIMEOUT_UNIT_MS);
  return setOption(fd, IPPROTO_TCP, "TCP_USER_TIMEOUT", units);
}

type SettableOption =
  "SO_KEEPALIVE" | "TCP_KEEPIDLE" | "TCP_KEEPINTVL" | "TCP_KEEPCNT" | "TCP_USER_TIMEOUT";

// The descriptor is closed, or now refers to something that is not a socket. For a
// connection that the peer has reset, Linux sets the options and macOS returns EINVAL.
const GONE_CODES = new Set(isDarwin ? ["EBADF", "ENOTSOCK", "EINVAL"] : ["EBADF", "ENOTSOCK"]);

/** Sets an option and returns the failure. A socket that is gone is not a failure of the option. */
function setOption(
  fd: number,
  level: number,
  option: SettableOption,
  value: number,
): OptionFailure | undefined {
  int[0] = value;
  if (libc.setsockopt(fd, level, abi[option], int, 4) === 0) return undefined;
  const code = lastError();
  return GONE_CODES.has(code) ? undefined : { option, code };
}

function wholeSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}
