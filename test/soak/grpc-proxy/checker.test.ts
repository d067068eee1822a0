// The soak's checker finds each kind of wrong answer, and none in right ones.
import { beforeEach, describe, expect, test } from "bun:test";
import { Checker } from "./checker.ts";
import { Reports } from "./reports.ts";
import { type StoreEvent, StoreHistory } from "./store-history.ts";
import { idOf, valueOf } from "./values.ts";

const NONE = "";

describe("Checker", () => {
  let wrong: string[];
  let history: StoreHistory;
  let checker: Checker;

  beforeEach(() => {
    wrong = [];
    history = new StoreHistory();
    const reports = new Reports();
    reports.wrong = (key, message) => void wrong.push(`${key}: ${message}`);
    checker = new Checker(history, reports);
  });

  const change = (revision: number, key: string, id?: number): StoreEvent => {
    const event = { revision, key, id };
    history.add(event);
    return event;
  };
  const read = (key: string, revision: number, found: StoreEvent[]) =>
    checker.read({ client: "c", from: key, end: NONE, revision, found, count: found.length });
  const watched = (after: number, to: number, events: StoreEvent[]) =>
    checker.watched({ what: "w", from: "a", end: "b", after, to, events });

  test("settle() accepts right answers of every kind", () => {
    const first = checker.write("c", "a1");
    const unknown = checker.write("c", "a1");
    checker.acknowledged([first], 2, 1);
    checker.deletion("c", "a1").acknowledged = { revision: 4, deleted: 1 };
    const events = [change(2, "a1", first.id), change(3, "a1", unknown.id), change(4, "a1")];
    read("a1", 2, [events[0]!]);
    read("a1", 3, [events[1]!]);
    read("a1", 9, []);
    watched(1, 4, events);
    watched(3, 4, [events[2]!]);
    checker.settle();
    expect(wrong).toEqual([]);
    expect([checker.reads, checker.writes, checker.unknownWrites]).toEqual([3, 2, 1]);
  });

  test("acknowledged() finds a revision that was acknowledged before the write began", () => {
    checker.acknowledged([checker.write("c", "a1")], 5, 5);
    expect(wrong).toEqual(["a1: a write got revision 5, 5 was acknowledged"]);
  });

  test("answered() finds an answer older than what was acknowledged before", () => {
    checker.answered("a1", 4, 5);
    expect(wrong).toEqual(["a1: an answer has revision 4, 5 was acknowledged before"]);
  });

  test.each<[what: string, prepare: () => void, expected: string]>([
    [
      "an acknowledged write that is lost",
      () => checker.acknowledged([checker.write("c", "a1")], 2, 1),
      "a1: write 1 was acknowledged at 2, applied at undefined",
    ],
    [
      "a refused write that was applied",
      () => {
        checker.write("c", "a1").isRefused = true;
        change(2, "a1", 1);
      },
      "a1: write 1 was acknowledged at undefined, applied at 2",
    ],
    [
      "a write that was applied twice",
      () => {
        checker.write("c", "a1");
        change(2, "a1", 1);
        change(3, "a1", 1);
      },
      "a1: write 1 was applied twice, at 2 and 3",
    ],
    [
      "a value at another key",
      () => {
        checker.write("c", "a1");
        change(2, "a2", 1);
      },
      "a2: the store has a value of write 1, which is not open, at 2",
    ],
    [
      "a lost increment",
      () => {
        for (const count of [1, 1]) checker.write("c", "a1", count);
        change(2, "a1", 1);
        change(3, "a1", 2);
      },
      "a1: the counter went from 1 to 1 at 3",
    ],
    [
      "a deletion that no client sent",
      () => void change(2, "a1"),
      "a1: a deletion at 2 that no client sent once",
    ],
    [
      "a deletion that was not applied",
      () => {
        checker.deletion("c", "a1").acknowledged = { revision: 2, deleted: 1 };
      },
      "a1: a deletion was acknowledged at 2, and not applied",
    ],
    [
      "a read of the past",
      () => {
        for (const revision of [2, 3]) change(revision, "a1", checker.write("c", "a1").id);
        read("a1", 3, [history.events[0]!]);
      },
      "a1: c read [a1=1@2] at 3, want [a1=2@3]",
    ],
  ])("settle() finds %s", (_, prepare, expected) => {
    prepare();
    checker.settle();
    expect(wrong).toEqual([expected]);
  });

  test.each([
    ["that is missing", [0, 2]],
    ["that came twice", [0, 1, 1, 2]],
    ["out of order", [1, 0, 2]],
    ["at the end that is missing", [0, 1]],
  ])("settle() finds an event %s", (_, received) => {
    for (const revision of [2, 3, 4]) change(revision, "a1", checker.write("c", "a1").id);
    const events = received.map((i) => history.events[i]!);
    watched(1, 4, events);
    checker.settle();
    expect(wrong).toEqual([expect.stringContaining("a: w: ")]);
  });
});

describe("idOf()", () => {
  test("returns the write of a whole value", () => {
    for (const bytes of [1, 20, 5000]) expect(idOf(valueOf(77, bytes).toString("latin1"))).toBe(77);
  });

  test.each(["", "77:50:", "x", valueOf(77, 50).toString("latin1").slice(0, -1)])(
    "throws for %j",
    (value) => expect(() => idOf(value)).toThrow("the value is damaged"),
  );
});
