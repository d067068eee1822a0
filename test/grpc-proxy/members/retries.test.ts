// What registrations and the list of proxies do while etcd refuses them.
import { describe, expect, test } from "bun:test";
import { ProxyMembers } from "../../../src/grpc-proxy/members/proxy-members.ts";
import { Registration } from "../../../src/grpc-proxy/members/registration.ts";
import { Retries } from "../../../src/grpc-proxy/members/retries.ts";
import type { Logger } from "../../../src/observe/log.ts";
import { ManualClock } from "../../support/manual-clock.ts";

/** Collects messages with the fields that give a reason. */
function collectingLog(lines: string[]): Logger {
  const add = (message: string, { error, reason }: Record<string, unknown> = {}) =>
    void lines.push([message, error ?? reason].filter((part) => part !== undefined).join(": "));
  return { debug: add, info: add, warn: add, error: add, from: () => collectingLog(lines) };
}

/** Advances by seconds, and lets promises settle in between. */
async function pass(clock: ManualClock, seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i++) {
    clock.advance(1000);
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  }
}

const refuse = (message: string) => Promise.reject(new Error(message));

describe("Retries", () => {
  test("nextDelayMs() doubles up to ten seconds, and reset() begins again", () => {
    const retries = new Retries();
    const delays = Array.from({ length: 6 }, () => retries.nextDelayMs());
    expect(delays).toEqual([1000, 2000, 4000, 8000, 10_000, 10_000]);
    retries.reset();
    expect(retries.nextDelayMs()).toBe(1000);
  });

  test("isNews() is true for a reason that differs from the one before", () => {
    const retries = new Retries();
    expect(["a", "a", "b", "a"].map((reason) => retries.isNews(reason))).toEqual([
      ...[true, false, true, true],
    ]);
  });
});

describe("Registration", () => {
  const options = { key: new Uint8Array(1), address: "a:1", hostname: "h", ttlSeconds: 60 };

  test("logs a refusal once, asks less and less often, and leaves no lease", async () => {
    const clock = new ManualClock();
    const lines: string[] = [];
    const leases = new Set<bigint>();
    let grants = 0n;
    const client = {
      grantLease: () => {
        leases.add(++grants);
        return Promise.resolve(grants);
      },
      revokeLease: (id: bigint) => {
        leases.delete(id);
        return Promise.resolve();
      },
      put: () => refuse("permission denied"),
      keepAlive: () => ({ send() {}, cancel() {} }),
    };
    const registration = new Registration(client, clock, collectingLog(lines), options);
    registration.start();
    // At 0, 1, 3, 7, 15, 25, 35, 45 and 55 s.
    await pass(clock, 60);
    expect([grants, leases.size]).toEqual([9n, 0]);

    client.put = () => Promise.resolve() as Promise<never>;
    await pass(clock, 10);
    expect(leases.size).toBe(1);
    expect(lines).toEqual([
      "cannot register; retrying: permission denied",
      "registered session with lease",
    ]);
    await registration.close();
    expect(leases.size).toBe(0);
  });
});

describe("ProxyMembers", () => {
  test("logs why it cannot follow once for each reason", async () => {
    const clock = new ManualClock();
    const lines: string[] = [];
    let reason = "no leader";
    const client = {
      readRange: () => refuse(reason),
      watch: () => ({ send() {}, cancel() {} }),
    };
    const members = new ProxyMembers(client, clock, collectingLog(lines), Uint8Array.of(47));
    members.start();
    await pass(clock, 20);
    reason = "permission denied";
    await pass(clock, 20);
    expect(lines).toEqual([
      "endpoints watch channel closed: no leader",
      "endpoints watch channel closed: permission denied",
    ]);
    members.close();
    expect(clock.pending).toBe(0);
  });
});
