// `version`: prints the version.
import packageJson from "../../package.json" with { type: "json" };
import type { Command } from "../cli/command.ts";
import { platform } from "../os/process.ts";

export const versionCommand: Command = {
  words: "version",
  summary: "print the version",
  description: "Prints the version of the gateway and of the Bun runtime inside it.",
  usage: [],
  flags: {},
  run(_, output) {
    output.print(`${packageJson.name} ${packageJson.version}\n${platform}\n`);
    return 0;
  },
};
