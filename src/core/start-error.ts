/** The gateway cannot run, though its configuration is valid. The process exits with status 1. */
export class StartError extends Error {
  override name = "StartError";
}
