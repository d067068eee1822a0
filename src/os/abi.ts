// What each system has its own of: where the C library is, and the numbers of its
// interface. Linux' are the same on x64 and arm64; macOS' are from xnu's
// bsd/sys/socket.h, bsd/netinet/tcp.h and bsd/sys/resource.h.

const LINUX = {
  LIBRARY: "libc.so.6",
  ERRNO_LOCATION: "__errno_location",
  /** Whether a socket address begins with its length, before the family. */
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
  /** The first byte of the answer to TCP_INFO for a connection that is none any more. */
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
  // socket(2) takes no flags there. There is no other program to keep descriptors from.
  SOCK_NONBLOCK: 0,
  SOCK_CLOEXEC: 0,
  SOL_SOCKET: 0xffff,
  SO_KEEPALIVE: 0x08,
  SO_ACCEPTCONN: 0x02,
  TCP_KEEPIDLE: 0x10, // by the name of TCP_KEEPALIVE
  TCP_KEEPINTVL: 0x101,
  TCP_KEEPCNT: 0x102,
  TCP_USER_TIMEOUT: 0x80, // by the name of TCP_RXT_CONNDROPTIME
  TCP_USER_TIMEOUT_UNIT_MS: 1000,
  TCP_INFO: 0x106, // by the name of TCP_CONNECTION_INFO
  TCP_CLOSE: 0,
  // A flag that recv(2) answers with there, and does not take: what is skipped is copied.
  MSG_TRUNC: 0,
  MSG_DONTWAIT: 0x80,
  RLIMIT_NOFILE: 8,
  DESCRIPTORS: "/dev/fd",
};

export const isDarwin = process.platform === "darwin";

export const abi = isDarwin ? DARWIN : LINUX;
