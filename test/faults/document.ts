// docs/faults.md has two parts, which are generated separately: about the gateway, and about
// the gRPC proxy.
import { readFile, writeFile } from "node:fs/promises";

const PATH = "docs/faults.md";
const SECOND = "\n## The gRPC proxy\n";

/** Writes the first part. */
export async function writeGateways(text: string): Promise<void> {
  const [, second] = await parts();
  await write(text, second);
}

/** Writes the second part, without its heading. */
export async function writeProxies(text: string): Promise<void> {
  const [first = ""] = await parts();
  await write(first, text);
}

async function parts(): Promise<string[]> {
  const text = await readFile(PATH, "utf8").catch(() => "");
  return text.split(SECOND).map((part) => part.trim());
}

async function write(first: string, second: string | undefined): Promise<void> {
  const all = [first, ...(second === undefined ? [] : [second])];
  await writeFile(PATH, `${all.map((part) => part.trim()).join(`\n${SECOND}\n`)}\n`);
}
