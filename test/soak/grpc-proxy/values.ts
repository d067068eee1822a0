// The values that the soak of the gRPC proxy stores: each is unique, names the write that made
// it, and shows a wrong, missing or surplus byte.
import { streamBytes } from "../seeded.ts";

/** Returns the value of write `id`, of `bytes` bytes or a few more. */
export function valueOf(id: number, bytes: number): Buffer {
  const head = `${id}:${bytes}:`;
  return Buffer.concat([Buffer.from(head), paddingOf(id, bytes - head.length)]);
}

/** Returns the write that made a value of one character per byte. Throws if a byte is wrong. */
export function idOf(value: string): number {
  const [, id = "", bytes = ""] = /^(\d+):(\d+):/.exec(value) ?? [];
  const isWhole = Buffer.from(value, "latin1").equals(valueOf(Number(id), Number(bytes)));
  if (id === "" || !isWhole) throw new Error(`the value is damaged: ${value.slice(0, 40)}`);
  return Number(id);
}

function paddingOf(id: number, bytes: number): Uint8Array {
  return streamBytes(Math.imul(id, 7919) >>> 0, 0, Math.max(0, bytes));
}
