import { describe, expect, test } from "bun:test";
import { connectionLimit } from "../../src/clients/connection-limit.ts";
import { resolverDescriptors } from "../../src/resolver/descriptor-cost.ts";

const room = (descriptorLimit: number) => ({
  descriptorLimit,
  perClient: 2,
  forEndpoints: resolverDescriptors(3, false),
  hasAdminServer: false,
});

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
      expect(connectionLimit(wanted, room(descriptors))).toEqual({ maxConnections });
    },
  );

  test("says what is missing when more is wanted than there is room for", () => {
    expect(connectionLimit(1000, room(1024))).toEqual({
      maxConnections: 478,
      warning:
        '--max-connections "1000" needs 2067 open files and the limit is 1024: 478 are served; raise LimitNOFILE or ulimit -n',
    });
  });

  test("says what is needed without room for one", () => {
    expect(connectionLimit(0, room(68))).toEqual({
      maxConnections: 0,
      warning:
        "Cannot run with a limit of 68 open files: at least 69 are needed; raise LimitNOFILE or ulimit -n",
    });
  });

  test("leaves room for following the cluster", () => {
    expect(
      connectionLimit(0, { ...room(1024), forEndpoints: resolverDescriptors(3, true) }),
    ).toEqual({
      maxConnections: 446,
    });
  });
});
