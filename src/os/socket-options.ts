// Socket options that Bun's API lacks or sets otherwise. What to do about one
// that the kernel refuses is the caller's business.
import { abi, isDarwin } from "./abi.ts";
import { lastError, libc } from "./libc.ts";

const IPPROTO_TCP = 6;

// Probes that are not answered before the kernel gives up, and how many of
// their intervals make the time before the first one: silence is noticed after
// twice --keepalive-time.
const KEEPALIVE_PROBES = 3;

// setsockopt copies what it is given, so one buffer serves all calls.
const int = new Int32Array(1);

/** An option that the kernel refused to set on a live socket. */
export interface OptionFailure {
  /** Its name in C, such as `TCP_KEEPIDLE`. */
  readonly option: string;
  /** The errno's name. */
  readonly code: string;
}

/**
 * Has the kernel probe a peer that has been silent for `ms`, in whole seconds
 * of at least 1, and give it up after as long again. 0: never. Returns the
 * first failure; the other options are still set.
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
 * Has the kernel end a connection whose peer has not acknowledged, or not made
 * room for, what it was sent for `ms`; 0: its own default of some 15 minutes.
 * For a server: it also ends a peer that is alive and does not read.
 * @see tcp(7), RFC 5482
 */
export function setUserTimeout(fd: number, ms: number): OptionFailure | undefined {
  const units = Math.ceil(ms / abi.TCP_USER_TIMEOUT_UNIT_MS);
  return setOption(fd, IPPROTO_TCP, "TCP_USER_TIMEOUT", units);
}

type SettableOption =
  "SO_KEEPALIVE" | "TCP_KEEPIDLE" | "TCP_KEEPINTVL" | "TCP_KEEPCNT" | "TCP_USER_TIMEOUT";

// A descriptor that has been closed, or whose number something else has now.
// Linux sets options on a connection that the peer has reset; macOS gives EINVAL.
const GONE_CODES = new Set(isDarwin ? ["EBADF", "ENOTSOCK", "EINVAL"] : ["EBADF", "ENOTSOCK"]);

/** Returns the failure, unless the socket itself is gone: that says nothing of the option. */
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
