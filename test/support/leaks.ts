// Preloaded into every test run: fails it if sockets or child processes are left after
// the last test.
import { afterAll } from "bun:test";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { until } from "./peer.ts";

const TIMEOUT_MS = 3000;
const before = { sockets: sockets().length, children: children().length };

afterAll(async () => {
  const isClean = () => sockets().length <= before.sockets && children().length <= before.children;
  await until(isClean, "every socket and child process was gone", TIMEOUT_MS).catch((error) => {
    const left = [...sockets(), ...children()].join(", ");
    throw new Error(`${(error as Error).message}; left: ${left}`);
  });
});

function sockets(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith("socket:") ? [`${fd} ${target}`] : [];
    } catch {
      return []; // readdirSync's own descriptor, closed by now
    }
  });
}

function children(): string[] {
  return readdirSync("/proc/self/task").flatMap((task) => {
    const pids = readFileSync(`/proc/self/task/${task}/children`, "utf8").trim();
    return pids === "" ? [] : pids.split(" ").map((pid) => `process ${pid}`);
  });
}
