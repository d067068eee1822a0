import { abi } from "./abi.ts";
import { cString, libc } from "./libc.ts";

// SD_LISTEN_FDS_START of sd_listen_fds(3).
const FIRST_INHERITED = 3;

/**
 * The listening socket that systemd, or who does as it does, has opened for
 * this process (socket activation); undefined: none. Of several the first.
 * @see sd_listen_fds(3)
 */
export function inheritedListener(
  environment: Readonly<Record<string, string | undefined>>,
): number | undefined {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = environment;
  const isOurs = pid === String(process.pid) && Number(count) > 0;
  return isOurs ? FIRST_INHERITED : undefined;
}

const AF_UNIX = 1;
const SOCK_DGRAM = 2;

/**
 * Tells systemd about this service, for example `READY=1`. Does nothing unless
 * `path` (the variable NOTIFY_SOCKET) is set; a failure is systemd's loss alone.
 * @see sd_notify(3)
 */
export function notifySystemd(path: string | undefined, state: string): void {
  if (!path) return;
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | abi.SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  // struct sockaddr_un: the family, then the path; a leading @ stands for the
  // zero byte of an abstract name, which has no zero behind it.
  const name = path.startsWith("@") ? Buffer.from(`\0${path.slice(1)}`) : cString(path);
  const address = Buffer.concat([Uint8Array.of(AF_UNIX, 0), name]);
  const text = Buffer.from(state);
  libc.sendto(fd, text, text.length, abi.MSG_NOSIGNAL, address, address.length);
  libc.close(fd);
}
