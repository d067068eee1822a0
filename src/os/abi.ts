// The C library's location and the constants of its interface on each system. Linux
// has the same values on x64 and arm64; those of macOS are from xnu's
// bsd/sys/socket.h, bsd/netinet/tcp.h and bsd/sys/resource.h.

const LINUX = {
  LIBRARY: "libc.so.6",
  ERRNO_LOCATION: "__errno_location",
  /** Whether a socket address begins with a length byte, before the family. */
  HAS_ADDRESS_LENGTH: false,
  AF_INET6: 10,
  SOCK_NONBLOCK: 0o4000,
  SOCK_CLOEXEC: 0o2000000,
  SOL_SOCKET: 1,
  SO_KEEPALIVE: 9,
  SO_ACCEPTCONN: 30,
  TCP_KEEPIDLE: 4,
  TCP_KEEPINTVL: 5,
  TCP_KEEPCNT: 6,
  TCP_USER_TIMEOUT: 18,
  TCP_USER_TIMEOUT_UNIT_MS: 1,
  TCP_INFO: 11,
  /** The first byte of TCP_INFO (the TCP state) once the connection is closed. */
  TCP_CLOSE: 7,
  MSG_TRUNC: 0x20,
  MSG_DONTWAIT: 0x40,
  RLIMIT_NOFILE: 7,
  DESCRIPTORS: "/proc/self/fd",
};

const DARWIN: typeof LINUX = {
  LIBRARY: "/usr/lib/libSystem.B.dylib",
  ERRNO_LOCATION: "__error",
  HAS_ADDRESS_LENGTH: true,
  AF_INET6: 30,
  // socket(2) takes no flags on macOS. The process starts no program that could inherit
  // descriptors, so close-on-exec is not needed.
  SOCK_NONBLOCK: 0,
  SOCK_CLOEXEC: 0,
  SOL_SOCKET: 0xffff,
  SO_KEEPALIVE: 0x08,
  SO_ACCEPTCONN: 0x02,
  TCP_KEEPIDLE: 0x10, // named TCP_KEEPALIVE
  TCP_KEEPINTVL: 0x101,
  TCP_KEEPCNT: 0x102,
  TCP_USER_TIMEOUT: 0x80, // named TCP_RXT_CONNDROPTIME
  TCP_USER_TIMEOUT_UNIT_MS: 1000,
  TCP_INFO: 0x106, // named TCP_CONNECTION_INFO
  TCP_CLOSE: 0,
  // On macOS, recv(2) only returns this flag and does not accept it: skipped bytes are copied.
  MSG_TRUNC: 0,
  MSG_DONTWAIT: 0x80,
  RLIMIT_NOFILE: 8,
  DESCRIPTORS: "/dev/fd",
};

export const isDarwin = process.platform === "darwin";

export const abi = isDarwin ? DARWIN : LINUX;
