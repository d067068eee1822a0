// The system calls for systemd: inherited sockets, the monotonic clock, notifications.
import { abi } from "./abi.ts";
import { cString, lastError, libc } from "./libc.ts";

// SD_LISTEN_FDS_START of sd_listen_fds(3).
const FIRST_INHERITED = 3;

/**
 * Returns the descriptors of the sockets that systemd, or a compatible supervisor, opened
 * for this process (socket activation).
 *
 * @see sd_listen_fds(3)
 */
export function inheritedListeners(
  environment: Readonly<Record<string, string | undefined>>,
): readonly number[] {
  const { LISTEN_PID: pid, LISTEN_FDS: text = "" } = environment;
  const count = pid === String(process.pid) && /^\d{1,4}$/.test(text) ? Number(text) : 0;
  return Array.from({ length: count }, (_, i) => FIRST_INHERITED + i);
}

const CLOCK_MONOTONIC = 1;

/** Returns the time of CLOCK_MONOTONIC, as systemd expects. Bun's hrtime starts with the process. */
export function monotonicMicroseconds(): bigint {
  const time = new BigInt64Array(2); // struct timespec
  libc.clock_gettime(CLOCK_MONOTONIC, time);
  return time[0]! * 1_000_000n + time[1]! / 1000n;
}

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_NOSIGNAL = 0x4000;
const MSG_DONTWAIT = 0x40;

/**
 * Sends a state such as `READY=1` to systemd's socket at `path` (the variable
 * NOTIFY_SOCKET). Never waits. Returns false if a later attempt may succeed; other
 * failures are ignored.
 *
 * @see sd_notify(3)
 */
export function notifySystemd(path: string, state: string): boolean {
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | abi.SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  // struct sockaddr_un: the family, then the path. A leading @ stands for the zero byte
  // of an abstract name, which has no terminating zero.
  const name = path.startsWith("@") ? Buffer.from(`\0${path.slice(1)}`) : cString(path);
  const address = Buffer.concat([Uint8Array.of(AF_UNIX, 0), name]);

  const text = Buffer.from(state);
  const flags = MSG_NOSIGNAL | MSG_DONTWAIT;
  const isBusy =
    libc.sendto(fd, text, text.length, flags, address, address.length) < 0 &&
    lastError() === "EAGAIN";
  libc.close(fd);
  return !isBusy;
}
