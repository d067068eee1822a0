import { cString, libc } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;

/**
 * Tells systemd about this service, for example `READY=1`. Does nothing unless
 * `path` (the variable NOTIFY_SOCKET) is set; a failure is systemd's loss alone.
 * @see sd_notify(3)
 */
export function notifySystemd(path: string | undefined, state: string): void {
  if (!path) return;
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  // struct sockaddr_un: the family, then the path; a leading @ stands for the
  // zero byte of an abstract name, which has no zero behind it.
  const name = path.startsWith("@") ? Buffer.from(`\0${path.slice(1)}`) : cString(path);
  const address = Buffer.concat([Uint8Array.of(AF_UNIX, 0), name]);
  const text = Buffer.from(state);
  libc.sendto(fd, text, text.length, MSG_NOSIGNAL, address, address.length);
  libc.close(fd);
}
