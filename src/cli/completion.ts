// `completion`: a script for a shell, which then completes commands, flags and
// values by itself. What there is to complete is in completion-places.ts.
import { UsageError } from "../core/usage-error.ts";
import { bashCompletion } from "./completion-bash.ts";
import { fishCompletion } from "./completion-fish.ts";
import { type HelpTexts, type Place, completionContexts } from "./completion-places.ts";
import { zshCompletion } from "./completion-zsh.ts";

const writers = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } satisfies Record<
  string,
  (places: readonly Place[]) => string
>;
const shells = Object.keys(writers);

/** The command's words with their help: one for each shell, so that shells are completed too. */
export const completionHelps: HelpTexts = Object.fromEntries(
  ["completion", ...shells.map((shell) => `completion ${shell}`)].map((words) => [
    words,
    completionHelp,
  ]),
);

/** The script for `shell`, one of those that have a help, made of the help of every command. */
export function completionScript(shell: string, helpTexts: HelpTexts): string {
  return writers[shell as keyof typeof writers](completionContexts(helpTexts));
}

/** What is wrong with `completion` without a shell, or with one that it does not know. */
export function unknownShell(shell?: string): UsageError {
  const what = shell === undefined ? "Missing shell" : `Unknown shell "${shell}"`;
  const known = `${shells.slice(0, -1).join(", ")} and ${shells.at(-1)}`;
  return new UsageError(
    `${what}: the shells are ${known}, for example "etcd-gateway completion ${shells[0]}"`,
  );
}

/** What `etcd-gateway help completion` prints. */
function completionHelp(): string {
  return `Prints a script that completes commands, flags and values in your shell.

Usage:
  etcd-gateway completion ${shells.join("|")}

For the shell that you are in:
  bash   source <(etcd-gateway completion bash)
  zsh    source <(etcd-gateway completion zsh)
  fish   etcd-gateway completion fish | source

For everybody, from the next shell on, as root:
  etcd-gateway completion bash >/etc/bash_completion.d/etcd-gateway
  etcd-gateway completion zsh >/usr/local/share/zsh/site-functions/_etcd-gateway
  etcd-gateway completion fish >/etc/fish/completions/etcd-gateway.fish

bash needs its bash-completion package for the last; zsh needs compinit.
`;
}
