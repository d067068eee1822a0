// Prints the config file that packages install: every key, explained, and commented
// out with its default.
import { flagNamed, flagNames, variableOf } from "../src/cli/flags.ts";
import { RESTART_ONLY } from "../src/cli/reload.ts";

const WIDTH = 78;

const parts = [
  `# Configuration of etcd-gateway. All keys are optional. A commented-out value is the
# default, or an example where there is no default. A flag on the command line and
# an environment variable (${variableOf("endpoints")}) override this file.
#
# To apply a change: systemctl reload etcd-gateway. The gateway reads the file again
# and keeps all connections. A change of these keys needs a restart:
# ${RESTART_ONLY.join(", ")}.`,
];
for (const name of flagNames) {
  const { onlyFor, default: fallback, example, summary, value } = flagNamed(name);
  if (onlyFor !== undefined || name === "config-file") continue;
  const text = fallback === undefined ? `${summary} For example:` : summary;
  const isBare = value === "" || value === "COUNT";
  const setting = fallback ?? example;
  parts.push(`${comment(text)}\n#${name}: ${isBare ? setting : quoted(setting)}`);
}
console.log(parts.join("\n\n"));

/** Quotes `text` where YAML would not read it as a string. */
function quoted(text: string): string {
  return /^[a-z/][\w./ -]*$|^\d+[a-z]\w*$/i.test(text) ? text : `'${text.replaceAll("'", "''")}'`;
}

/** Wraps `text` into lines that begin with "# ". */
function comment(text: string): string {
  const lines = ["#"];
  for (const word of text.split(" ")) {
    if (lines.at(-1)!.length + 1 + word.length > WIDTH) lines.push("#");
    lines.push(`${lines.pop()} ${word}`);
  }
  return lines.join("\n");
}
