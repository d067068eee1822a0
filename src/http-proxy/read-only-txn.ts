// Whether the JSON body of a transaction only reads. It fails closed: what it does not
// understand may write.

// The names of protobuf's JSON mapping, and those of the .proto file, which etcd takes as well.
const RANGE = new Set(["requestRange", "request_range"]);
const FIELDS = new Set(["compare", "success", "failure"]);

/** Returns whether each operation of the transaction is a range. `body` is what the member gets. */
export function isReadOnlyTxn(body: Uint8Array): boolean {
  let text: string;
  let txn: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
    txn = JSON.parse(text);
  } catch {
    return false;
  }
  // Of two equal keys, the member might take the one that is not checked here; and an
  // escape could hide a key. Keys and values of etcd are in base64, which needs no escape.
  if (text.includes("\\") || isTwice(text, '"success"') || isTwice(text, '"failure"')) return false;
  if (!isObject(txn) || !Object.keys(txn).every((key) => FIELDS.has(key))) return false;
  return areRanges(txn["success"]) && areRanges(txn["failure"]);
}

function areRanges(operations: unknown): boolean {
  if (operations === undefined) return true;
  return Array.isArray(operations) && operations.every(isRange);
}

function isRange(operation: unknown): boolean {
  if (!isObject(operation)) return false;
  const keys = Object.keys(operation);
  return keys.length === 1 && RANGE.has(keys[0]!) && isObject(operation[keys[0]!]);
}

function isTwice(text: string, key: string): boolean {
  return text.indexOf(key) !== text.lastIndexOf(key);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
