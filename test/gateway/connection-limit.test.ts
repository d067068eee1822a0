import { describe, expect, test } from "bun:test";
import { connectionLimit } from "../../src/gateway/connection-limit.ts";

describe("connectionLimit()", () => {
  const rows: [wanted: number, descriptors: number, maxConnections: number][] = [
    [0, 1024, 478],
    [0, 1_048_576, 524_254],
    [0, 69, 1],
    [100, 1024, 100],
    [478, 1024, 478],
  ];
  test.each(rows)(
    "of %d wanted with %d descriptors is %d",
    (wanted, descriptors, maxConnections) => {
      expect(connectionLimit(wanted, descriptors, 3)).toEqual({ maxConnections });
    },
  );

  test("says what is missing when more is wanted than there is room for", () => {
    expect(connectionLimit(1000, 1024, 3)).toEqual({
      maxConnections: 478,
      warning:
        '--max-connections "1000" needs 2067 open files and the limit is 1024: 478 are served; raise LimitNOFILE or ulimit -n',
    });
  });

  test("refuses to run without room for one", () => {
    expect(() => connectionLimit(0, 68, 3)).toThrow(
      "Cannot run with a limit of 68 open files: at least 69 are needed; raise LimitNOFILE or ulimit -n",
    );
  });
});
