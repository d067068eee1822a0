/**
 * Wrong input that only the user can correct: a flag, a variable, a command. The
 * message is complete (what was read, the value in quotes, the fact, the wanted
 * form) and is printed as it is. The process exits with status 2.
 */
export class UsageError extends Error {
  override name = "UsageError";
}
