// Signals that mean nothing to a gateway, but would end or stop it.
import { libc } from "./libc.ts";

// Their default action ends the process. SIGPIPE and SIGXFSZ are ignored by Bun
// already; SIGQUIT, SIGTSTP and the signals of a crash keep their meaning.
const IGNORED = ["SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO"] as const;

// The same number on Linux and macOS.
const SIGTTOU = 22;
const SIG_IGN = 1;

/**
 * Ignores them from now on, and calls `onSignal` at each. Ignores SIGTTOU too,
 * which would stop a gateway in the background that logs to its terminal
 * (`stty tostop`); a handler for that one would be called again and again.
 * The function returned restores the default, but for SIGTTOU.
 */
export function ignoreSignals(onSignal: (signal: string) => void): () => void {
  for (const signal of IGNORED) process.on(signal, onSignal);
  libc.signal(SIGTTOU, BigInt(SIG_IGN));
  return () => {
    for (const signal of IGNORED) process.off(signal, onSignal);
  };
}
