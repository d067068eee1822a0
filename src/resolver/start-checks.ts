// What must hold of the configured TLS files before a proxy serves.
import type { TlsFiles } from "../core/gateway-config.ts";
import { StartError } from "../core/start-error.ts";

/** @throws {StartError} if a file cannot be used: it may be in the middle of its renewal. */
export async function checkTlsFiles(
  network: { checkTlsFiles(files: TlsFiles): Promise<void> },
  files: TlsFiles,
): Promise<void> {
  try {
    await network.checkTlsFiles(files);
  } catch (error) {
    throw new StartError((error as Error).message, { cause: error });
  }
}
