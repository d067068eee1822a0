// Prints the config file that packages install: every key, explained, and commented
// out with its default.
import { type FlagTable, fixedFlags, isNumber, variableOf } from "../src/cli/flag.ts";
import { gatewayFlags } from "../src/commands/gateway-flags.ts";

const WIDTH = 78;

const parts = [
  `# Configuration of etcd-gateway. All keys are optional. A commented-out value is the
# default, or an example where there is no default. A flag on the command line and
# an environment variable (${variableOf("endpoints")}) override this file.
#
# To apply a change: systemctl reload etcd-gateway. The gateway reads the file again
# and keeps all connections. A change of these keys needs a restart:
# ${fixedFlags(gatewayFlags).join(", ")}.`,
];
const flags: FlagTable = gatewayFlags;
for (const [name, flag] of Object.entries(flags)) {
  const { isFileKey, default: fallback, example, summary, value } = flag;
  if (isFileKey === false) continue;
  const text = fallback === undefined ? `${summary} For example:` : summary;
  const isBare = value === "" || isNumber(value);
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
