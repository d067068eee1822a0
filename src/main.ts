// The entry point: passes the arguments to the commands and exits with their status.
import { LibcError } from "./os/libc-error.ts";
import { writeError, writeOutput } from "./os/process.ts";

// Exits explicitly, since a hanging name lookup would keep the process alive.
process.exit(await main());

async function main(): Promise<number> {
  try {
    // Imported here, so that the error for a C library that cannot be called is caught.
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
