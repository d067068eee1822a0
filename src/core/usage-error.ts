/**
 * Wrong input that only the user can correct: a flag, a variable, a command, a key
 * of the config file. A fault that another start may find cured is a StartError.
 * The message is complete (what was read, the value in quotes, the fact, the wanted
 * form) and is printed as it is. The process exits with status 2.
 */
export class UsageError extends Error {
  override name = "UsageError";
}
