// Signals that have no meaning for a gateway, but would end or stop it by default.
import { libc } from "./libc.ts";

// The default action of these signals ends the process. Bun already ignores SIGPIPE and
// SIGXFSZ; SIGQUIT, SIGTSTP and the signals of a crash keep their default.
const IGNORED = ["SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO"] as const;

// The same number on Linux and macOS.
const SIGTTOU = 22;
const SIG_IGN = 1;

/**
 * Calls `onSignal` for each of these signals instead of ending the process. Also ignores
 * SIGTTOU, which would stop a background gateway that logs to its terminal (`stty
 * tostop`). SIGTTOU has no handler: the interrupted write would be restarted and raise it
 * again, endlessly. The function returned restores the defaults, except that of SIGTTOU.
 */
export function ignoreSignals(onSignal: (signal: string) => void): () => void {
  for (const signal of IGNORED) process.on(signal, onSignal);
  libc.signal(SIGTTOU, BigInt(SIG_IGN));
  return () => {
    for (const signal of IGNORED) process.off(signal, onSignal);
  };
}
