// Logs socket options that the kernel refuses, once per option and errno: the options
// are set on every connection, and would fail on each in the same way.
import type { Logger } from "../observe/log.ts";
import type { OptionFailure, TcpSystem } from "../net/tcp-socket.ts";

/** Returns `system` with functions that also log when the kernel refuses an option. */
export function logOptionFailures(system: TcpSystem, log: Logger): TcpSystem {
  const logged = new Set<string>();
  const report = (failure: OptionFailure | undefined) => {
    if (failure === undefined) return undefined;

    const { option, code } = failure;
    const isNew = !logged.has(`${option} ${code}`);
    logged.add(`${option} ${code}`);
    if (isNew)
      log.warn("cannot set socket option (connections work without it)", { option, error: code });
    return failure;
  };
  return {
    ...system,
    setKeepAlive: (fd, ms) => report(system.setKeepAlive(fd, ms)),
    setUserTimeout: (fd, ms) => report(system.setUserTimeout(fd, ms)),
  };
}
