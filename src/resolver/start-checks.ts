// What must hold of the configured TLS files before a proxy serves.
import type { TlsFiles } from "../core/gateway-config.ts";
import { UsageError } from "../core/usage-error.ts";

/** @throws {UsageError} if a file that is named cannot be used. */
export async function checkTlsFiles(
  network: { checkTlsFiles(files: TlsFiles): Promise<void> },
  files: TlsFiles,
): Promise<void> {
  try {
    await network.checkTlsFiles(files);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
