// Where a command prints to.

export interface Output {
  /** Prints a command's result. Returns false if its reader has closed the pipe. */
  print(text: string): boolean;
  /** Prints an error. */
  printError(text: string): void;
}
