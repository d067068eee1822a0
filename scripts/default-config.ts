// Prints the config file that packages install: every key that it may have,
// explained, and commented out with its default.
import { flagNamed, flagNames, variableOf } from "../src/cli/flags.ts";

const WIDTH = 78;

const parts = [
  `# Configuration of etcd-gateway. All keys are optional; what is commented out is
# the default, or an example where there is none. A flag on the command line and a
# variable (${variableOf("endpoints")}) win over this file.
#
# After a change: systemctl reload etcd-gateway. It reads the file again without
# touching a connection; listen-addr and log-format need a restart.`,
];
for (const name of flagNames) {
  const { onlyFor, default: fallback, example, summary, value } = flagNamed(name);
  if (onlyFor !== undefined || name === "config-file") continue;
  const text = fallback === undefined ? `${summary} For example:` : summary;
  const isBare = value === "" || value === "COUNT";
  const written = fallback ?? example;
  parts.push(`${comment(text)}\n#${name}: ${isBare ? written : quoted(written)}`);
}
console.log(parts.join("\n\n"));

/** In single quotes where YAML would take it for something else than a text. */
function quoted(text: string): string {
  return /^[a-z/][\w./ -]*$|^\d+[a-z]\w*$/i.test(text) ? text : `'${text.replaceAll("'", "''")}'`;
}

/** Wrapped, each line behind a number sign and a space. */
function comment(text: string): string {
  const lines = ["#"];
  for (const word of text.split(" ")) {
    if (lines.at(-1)!.length + 1 + word.length > WIDTH) lines.push("#");
    lines.push(`${lines.pop()} ${word}`);
  }
  return lines.join("\n");
}
