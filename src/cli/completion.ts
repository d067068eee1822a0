// Completion scripts by shell. A script completes commands, flags and values by itself.
import { bashCompletion } from "./completion-bash.ts";
import { completionContexts, type Place } from "./completion-contexts.ts";
import { fishCompletion } from "./completion-fish.ts";
import { zshCompletion } from "./completion-zsh.ts";
import type { Command } from "./command.ts";

const WRITERS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } satisfies Record<
  string,
  (places: readonly Place[]) => string
>;

/** The shells that have a script. */
export const SHELLS: readonly string[] = Object.keys(WRITERS);

/** Returns the script for `shell`, one of SHELLS. */
export function completionScript(shell: string, commands: readonly Command[]): string {
  return WRITERS[shell as keyof typeof WRITERS](completionContexts(commands));
}
