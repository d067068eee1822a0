// `completion`: prints a completion script for a shell.
import type { Command } from "../cli/command.ts";
import { completionScript, SHELLS } from "../cli/completion.ts";

export const completionCommand: Command = {
  words: "completion",
  summary: "print completion for bash, zsh or fish",
  description: "Prints a script that completes commands, flags and values in your shell.",
  usage: [{ choices: SHELLS }],
  shortUsage: [{ argument: "SHELL" }],
  operand: { name: "shell", choices: SHELLS },
  flags: {},
  details: [
    `For the shell that you are in:
  bash   source <(etcd-gateway completion bash)
  zsh    source <(etcd-gateway completion zsh)
  fish   etcd-gateway completion fish | source`,
    `For all users, from the next shell on, as root:
  etcd-gateway completion bash >/etc/bash_completion.d/etcd-gateway
  etcd-gateway completion zsh >/usr/local/share/zsh/site-functions/_etcd-gateway
  etcd-gateway completion fish >/etc/fish/completions/etcd-gateway.fish`,
    "bash needs its bash-completion package for the last; zsh needs compinit.",
  ],
  examples: [
    {
      what: "Enable completion of commands, flags and values in the current bash:",
      lines: ["source <(etcd-gateway completion bash)"],
    },
  ],
  run({ operand, commands }, output) {
    output.print(completionScript(operand!, commands));
    return 0;
  },
};
