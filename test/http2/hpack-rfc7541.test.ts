// The examples of RFC 7541, appendix C, byte for byte.
import { describe, expect, test } from "bun:test";
import { HpackDecoder } from "../../src/http2/hpack-decoder.ts";
import { HpackEncoder } from "../../src/http2/hpack-encoder.ts";
import type { DynamicTable } from "../../src/http2/hpack-table.ts";

const bytes = (hex: string) => Buffer.from(hex.replaceAll(/\s/g, ""), "hex");

function decoder({ maxTableBytes = 4096, maxListBytes = 16_384 } = {}): HpackDecoder {
  return new HpackDecoder({ maxTableBytes, maxListBytes });
}

/** Returns the fields of a table, newest first, as RFC 7541 prints them. */
function fieldsOf(table: DynamicTable): string[] {
  return Array.from({ length: table.count }, (_, age) => {
    const serial = table.newest - age;
    return `${table.name(serial)}: ${table.value(serial)}`;
  });
}

const list = (...fields: string[]) =>
  fields.flatMap((field) => {
    const at = field.indexOf(":", 1);
    return [field.slice(0, at), field.slice(at + 1).trimStart()];
  });

interface Step {
  readonly block: string;
  readonly list: readonly string[];
  /** The table after the block, newest field first. */
  readonly table: readonly string[];
  readonly tableBytes: number;
}

const GET = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
const REQUESTS: readonly Omit<Step, "block">[] = [
  { list: GET, table: [":authority: www.example.com"], tableBytes: 57 },
  {
    list: [...GET, "cache-control: no-cache"],
    table: ["cache-control: no-cache", ":authority: www.example.com"],
    tableBytes: 110,
  },
  {
    list: [
      ...[":method: GET", ":scheme: https", ":path: /index.html"],
      ...[":authority: www.example.com", "custom-key: custom-value"],
    ],
    table: [
      ...["custom-key: custom-value", "cache-control: no-cache"],
      ":authority: www.example.com",
    ],
    tableBytes: 164,
  },
];

const DATE_21 = "date: Mon, 21 Oct 2013 20:13:21 GMT";
const DATE_22 = "date: Mon, 21 Oct 2013 20:13:22 GMT";
const LOCATION = "location: https://www.example.com";
const PRIVATE = "cache-control: private";
const COOKIE = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const RESPONSES: readonly Omit<Step, "block">[] = [
  {
    list: [":status: 302", PRIVATE, DATE_21, LOCATION],
    table: [LOCATION, DATE_21, PRIVATE, ":status: 302"],
    tableBytes: 222,
  },
  {
    list: [":status: 307", PRIVATE, DATE_21, LOCATION],
    table: [":status: 307", LOCATION, DATE_21, PRIVATE],
    tableBytes: 222,
  },
  {
    list: [":status: 200", PRIVATE, DATE_22, LOCATION, "content-encoding: gzip", COOKIE],
    table: [COOKIE, "content-encoding: gzip", DATE_22],
    tableBytes: 215,
  },
];

const withBlocks = (steps: readonly Omit<Step, "block">[], ...blocks: string[]) =>
  steps.map((step, i) => ({ ...step, block: blocks[i]! }));

const EXAMPLES: Readonly<Record<string, readonly Step[]>> = {
  "C.2.1": [
    {
      block: "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
      list: ["custom-key: custom-header"],
      table: ["custom-key: custom-header"],
      tableBytes: 55,
    },
  ],
  "C.2.2": [
    {
      block: "040c 2f73 616d 706c 652f 7061 7468",
      list: [":path: /sample/path"],
      table: [],
      tableBytes: 0,
    },
  ],
  "C.2.3": [
    {
      block: "1008 7061 7373 776f 7264 0673 6563 7265 74",
      list: ["password: secret"],
      table: [],
      tableBytes: 0,
    },
  ],
  "C.2.4": [{ block: "82", list: [":method: GET"], table: [], tableBytes: 0 }],
  "C.3": withBlocks(
    REQUESTS,
    "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
    "8286 84be 5808 6e6f 2d63 6163 6865",
    "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
  ),
  "C.4": withBlocks(
    REQUESTS,
    "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
    "8286 84be 5886 a8eb 1064 9cbf",
    "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
  ),
  "C.5": withBlocks(
    RESPONSES,
    `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
     2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
     6c65 2e63 6f6d`,
    "4803 3330 37c1 c0bf",
    `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
     54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
     5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
     3d31`,
  ),
  "C.6": withBlocks(
    RESPONSES,
    `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
     2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
    "4883 640e ffc1 c0bf",
    `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
     77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
     9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
  ),
};

describe("RFC 7541, appendix C", () => {
  test.each([
    ["C.1.1", "2a", 10],
    ["C.1.2", "3f9a0a", 1337],
  ])("decode() reads the integer of %s", (_, block, value) => {
    const it = decoder();
    it.decode(bytes(block));
    expect(it.table.maxBytes).toBe(value);
  });

  test.each(Object.entries(EXAMPLES))("decode() agrees with %s", (section, steps) => {
    const isSmall = section === "C.5" || section === "C.6";
    const it = decoder({ maxTableBytes: isSmall ? 256 : 4096 });
    for (const step of steps) {
      expect(it.decode(bytes(step.block))).toEqual(list(...step.list));
      expect(fieldsOf(it.table)).toEqual([...step.table]);
      expect(it.table.bytes).toBe(step.tableBytes);
    }
  });

  test("encode() makes the blocks of C.4", () => {
    const it = new HpackEncoder({ maxTableBytes: 4096 });
    for (const step of EXAMPLES["C.4"]!) {
      const out = Buffer.alloc(100);
      const end = it.encode(list(...step.list), out, 0);
      expect(out.subarray(0, end)).toEqual(bytes(step.block));
      expect(fieldsOf(it.table)).toEqual([...step.table]);
      expect(it.table.bytes).toBe(step.tableBytes);
    }
  });
});
