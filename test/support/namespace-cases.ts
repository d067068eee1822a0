// Compares the namespace with etcd's client/v3/namespace, case by case, and lists where it
// differs on purpose. The cases come from test/grpc-proxy/namespace-oracle.
import { expect } from "bun:test";
import { Rejection } from "../../src/grpc-proxy/message-pipe.ts";
import { Namespace } from "../../src/grpc-proxy/namespace/namespace.ts";
import { type Range, rangesIn, REQUEST_NAMES, REQUEST_PATHS } from "./etcd-requests.ts";

/** A line of the oracle's output: one message on both sides of the namespace. */
export interface NamespaceCase {
  readonly path: string;
  readonly direction: "request" | "response";
  readonly prefix: Buffer;
  readonly client: Buffer;
  readonly etcd: Buffer;
  /** Whether etcd's namespace refuses the request. */
  readonly refused: boolean;
}

export function parseCases(lines: string): NamespaceCase[] {
  return lines
    .trim()
    .split("\n")
    .map((line) => {
      const { prefix, client, etcd, ...rest } = JSON.parse(line);
      const decode = (text: string | null) => Buffer.from(text ?? "", "base64");
      return { ...rest, prefix: decode(prefix), client: decode(client), etcd: decode(etcd) };
    });
}

/** What the comparison found: identical bytes, or a difference that is there on purpose. */
export type Outcome = "identical" | keyof typeof DIFFERENCES;

export const DIFFERENCES = {
  "exact end":
    "etcd ends the namespace a\\xff at b\\0, and so reads and deletes the foreign key b; we end it at b",
  "empty key":
    "etcd's proxy answers code 2 (Unknown); we answer etcd's own code 3 (InvalidArgument), same text",
} as const;

/** Checks one case. Throws if ours differs in another way than the listed ones. */
export function compareCase(given: NamespaceCase): Outcome {
  const { path, direction, prefix, client, etcd, refused } = given;
  const rewrite = new Namespace(prefix).rewriterOf(path)?.[direction];
  if (direction === "response") {
    expect(hex(rewrite!(etcd))).toBe(hex(client));
    return "identical";
  }
  if (refused) {
    const rejection = rejectionOf(() => rewrite!(client));
    expect([rejection.code, rejection.message]).toEqual([3, "etcdserver: key is not provided"]);
    return "empty key";
  }
  const ours = rewrite!(client);
  if (etcd.equals(ours)) return "identical";

  expect(isInexact(prefix)).toBe(true);
  const name = REQUEST_NAMES.find((each) => REQUEST_PATHS[each] === path)!;
  const exact = rangesIn(name, etcd).map((range) => withExactEnd(range, prefix));
  expect(rangesIn(name, ours)).toEqual(exact);
  expect(exact).not.toEqual(rangesIn(name, etcd));
  return "exact end";
}

/** Whether etcd's end of this namespace is not the exact one. */
function isInexact(prefix: Buffer): boolean {
  return prefix.at(-1) === 0xff && prefix.some((byte) => byte !== 0xff);
}

/** Replaces etcd's end of the namespace, which has a zero byte for each trailing 0xff. */
function withExactEnd([key, end]: Range, prefix: Buffer): Range {
  const kept = prefix.toString("latin1").replace(/\xff+$/, "");
  const last = String.fromCharCode(kept.charCodeAt(kept.length - 1) + 1);
  const exact = kept.slice(0, -1) + last;
  return [key, end === exact.padEnd(prefix.length, "\0") ? exact : end];
}

function rejectionOf(attempt: () => unknown): Rejection {
  try {
    attempt();
  } catch (error) {
    if (error instanceof Rejection) return error;
    throw error;
  }
  throw new Error("the request was not rejected");
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
