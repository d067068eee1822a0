// What a command says.

/** Where a command's text goes. */
export interface Output {
  /** Takes what was asked for: help, the version. False if nobody reads it any more. */
  print(text: string): boolean;
  /** Takes what is wrong. */
  printError(text: string): void;
}
