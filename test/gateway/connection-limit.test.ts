import { describe, expect, test } from "bun:test";
import { connectionLimit } from "../../src/gateway/connection-limit.ts";

describe("connectionLimit()", () => {
  const rows: [wanted: number, descriptors: number, maxConnections: number][] = [
    [0, 1024, 480],
    [0, 1_048_576, 524_256],
    [0, 66, 1],
    [100, 1024, 100],
    [480, 1024, 480],
  ];
  test.each(rows)(
    "of %d wanted with %d descriptors is %d",
    (wanted, descriptors, maxConnections) => {
      expect(connectionLimit(wanted, descriptors)).toEqual({ maxConnections });
    },
  );

  test("says what is missing when more is wanted than there is room for", () => {
    expect(connectionLimit(1000, 1024)).toEqual({
      maxConnections: 480,
      warning:
        '--max-connections "1000" needs 2064 open files and the limit is 1024: 480 are served; raise LimitNOFILE or ulimit -n',
    });
  });

  test("refuses to run without room for one", () => {
    expect(() => connectionLimit(0, 65)).toThrow(
      "Cannot run with a limit of 65 open files: at least 66 are needed; raise LimitNOFILE or ulimit -n",
    );
  });
});
