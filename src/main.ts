// Reads the arguments and sets the exit status; nothing else does.
import { run } from "./cli/commands.ts";
import { writeError, writeOutput } from "./os/process.ts";

const status = await run(process.argv.slice(2), process.env, {
  print: writeOutput,
  printError: writeError,
});
// A name lookup that hangs would keep the process; there is nothing left to wait for.
process.exit(status);
