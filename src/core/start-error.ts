/** The gateway cannot run, though it was told nothing wrong: the process ends with status 1. */
export class StartError extends Error {
  override name = "StartError";
}
