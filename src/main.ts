// Reads the arguments and sets the exit status; nothing else does.
import { LibcError } from "./os/libc-error.ts";
import { writeError, writeOutput } from "./os/process.ts";

// A name lookup that hangs would keep the process; there is nothing left to wait for.
process.exit(await main());

async function main(): Promise<number> {
  try {
    // Imported here, so that a C library that cannot be called is reported in one line.
    const { run } = await import("./commands/commands.ts");
    return await run(process.argv.slice(2), process.env, {
      print: writeOutput,
      printError: writeError,
    });
  } catch (error) {
    if (!(error instanceof LibcError)) throw error;
    writeError(`etcd-gateway: ${error.message}\n`);
    return 1;
  }
}
