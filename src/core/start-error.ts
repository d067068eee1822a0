/** The process cannot run now, but another start may: it exits with status 1. */
export class StartError extends Error {
  override name = "StartError";
}
