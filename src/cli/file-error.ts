// Why a file that a flag names cannot be read, in words.

/** Returns the reason, from the `code` of the error. */
export function whyNotRead(error: unknown): string {
  const { code = String(error) } = error as { code?: string };
  const why: Record<string, string> = {
    ENOENT: "there is no such file",
    EACCES: "not permitted to read it",
    EISDIR: "it is a folder",
    ETIMEDOUT: "it could not be read within 10s; does a pipe or its mount hang?",
    EBUSY: "earlier reads of files have not ended; does a mount hang?",
    EFBIG: "it is longer than 16 MiB",
  };
  return why[code] ?? code;
}
