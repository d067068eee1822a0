import { describe, expect, test } from "bun:test";
import { decodeHuffman, encodeHuffman, huffmanBytes } from "../../src/http2/huffman.ts";
import { fuzzWith } from "../support/random-input.ts";

const ALL_SYMBOLS = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));

// Every byte once, in order, as golang.org/x/net/http2/hpack encodes it.
const ALL_CODES =
  "ffc7fffd8fffffe2fffffe3fffffe4fffffe5fffffe6fffffe7fffffe8ffffeafffffff3fffffa7fffffabff" +
  "ffffdfffffebfffffecfffffedfffffeefffffefffffff0ffffff1ffffff2fffffffbfffffcffffffd3fffff" +
  "d7fffffdbfffffdffffffe3fffffe7fffffebfffffed4fe3f9ffaffcabf1febfafefe7fdfd2cbb00089969b7" +
  "1d79fb9f7fff20ffbff3ff50ddbd7f061c58f265cd9f469d5af66dddbf871e5f9cff7ff7fffc3ff9ffe45fff" +
  "4719242cb34e6e9d68a6a3d7dac426defe3cfaf7fffbfe7ffbffdffffffcfffe6ffff4bfff9ffffa3fffd3ff" +
  "ff53fffd5ffffb3fffeb7fffdaffffb7ffff73fffeeffffdeffffebffffbfffffd9ffffdbfffebffffe0ffff" +
  "eeffffc3ffff8bffff1ffffe4fffee7fffb1ffff97fffd9ffffcdffff9fffffbffffdafffeeffff4ffffb7ff" +
  "fee7fffe8ffffd3fffdeffffd5fffeeffffbdffffe1fffdfffff7fffff5ffffecffff07fff87fffe0ffff17f" +
  "ffedffff87ffff77fffeffffeaffff8bfffe3ffff93ffff87fffcbffff37ffff1fffff83ffffe1fffebfffe3" +
  "ffff3fffff2ffffa3ffffd9fffff17ffffc7fffff27ffffdefffffbffffff2fffff8fffffb7fff97fff8ffff" +
  "fe6fffffc1fffff87ffffe7fffffc5ffffe5fffe4ffff2fffffd1fffff4ffffffefffffe3fffffc9fffff97f" +
  "ffb3ffffcffffb7fffcdffff4ffff9ffffd1ffffcffffeaffffafffffddffffeffffff4fffff5fffffabffff" +
  "a7ffffd7fffff9bffffecfffffb7fffff3fffffe8fffffd3fffffabfffff5fffffff7ffffecfffffdbfffffb" +
  "bfffff7ffffff0fffffbbf";

/** The strings in RFC 7541, appendices C.4 and C.6. */
const EXAMPLES: readonly [text: string, encoded: string][] = [
  ["www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"],
  ["no-cache", "a8eb10649cbf"],
  ["custom-key", "25a849e95ba97d7f"],
  ["custom-value", "25a849e95bb8e8b4bf"],
  ["302", "6402"],
  ["private", "aec3771a4b"],
  ["Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"],
  ["https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"],
  ["307", "640eff"],
  ["gzip", "9bd9ab"],
  [
    "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
  ],
];

function encode(text: string): string {
  const out = Buffer.alloc(4 * text.length + 1, 0xaa);
  const end = encodeHuffman(text, out, 1);
  expect(end).toBe(1 + huffmanBytes(text));
  expect([out[0], ...out.subarray(end)].every((byte) => byte === 0xaa)).toBe(true);
  return out.subarray(1, end).toString("hex");
}

/** Returns the decoded text; undefined if `encoded` is not valid. */
function decode(encoded: string): string | undefined {
  // The bytes around must not matter.
  const from = Buffer.from(`00${encoded}00`, "hex");
  const to = Buffer.alloc(2 * from.length);
  const length = decodeHuffman(from, 1, from.length - 1, to);
  return length === -1 ? undefined : to.toString("latin1", 0, length);
}

describe("RFC 7541", () => {
  test.each(EXAMPLES)(
    "encodeHuffman() and decodeHuffman() agree with the example %p",
    (text, hex) => {
      expect(encode(text)).toBe(hex);
      expect(decode(hex)).toBe(text);
    },
  );

  test("encodeHuffman() and decodeHuffman() use the code of appendix B for every byte", () => {
    expect(encode(ALL_SYMBOLS)).toBe(ALL_CODES);
    expect(decode(ALL_CODES)).toBe(ALL_SYMBOLS);
    for (const symbol of ALL_SYMBOLS) expect(decode(encode(symbol))).toBe(symbol);
  });
});

test("encodeHuffman() and decodeHuffman() accept the empty string", () => {
  expect(encode("")).toBe("");
  expect(decode("")).toBe("");
});

test("encodeHuffman() encodes the low byte of a character above U+00FF", () => {
  expect(encode("\u{130}\u{161}")).toBe(encode("0a"));
});

test.each([
  ["nothing", "f8", "&"],
  ["3 ones", "1f", "a"],
  ["7 ones", "18ee7f", "aa:"],
])("decodeHuffman() accepts %s as padding", (_, hex, text) => {
  expect(decode(hex)).toBe(text);
});

test.each([
  ["8 ones and no symbol", "ff"],
  ["8 ones", "f8ff"],
  ["11 ones", "1fff"],
  ["29 ones", "ff9fffffff"],
  ["3 zeros", "18"],
  ["ones and a zero", "1e"],
  ["the start of a code", "fe"],
  ["EOS", "ffffffff"],
])("decodeHuffman() rejects %s as padding", (_, hex) => {
  expect(decode(hex)).toBeUndefined();
});

test("decodeHuffman() rejects EOS before a symbol and after one", () => {
  expect(decode("fffffffffc")).toBeUndefined(); // EOS, "?"
  expect(decode("1fffffffff")).toBeUndefined(); // "a", EOS, 5 ones
});

test("decodeHuffman() counts the symbols for which there is no room, and checks them", () => {
  const from = Buffer.from("a8eb10649cbf", "hex");
  const to = Buffer.alloc(3);
  expect(decodeHuffman(from, 0, from.length, to)).toBe("no-cache".length);
  expect(to.toString("latin1")).toBe("no-");
  from[from.length - 1] = 0xbe;
  expect(decodeHuffman(from, 0, from.length, to)).toBe(-1);
});

test("decodeHuffman() restores what encodeHuffman() made of 20,000 random strings", () => {
  fuzzWith(
    20_000,
    (random) => {
      const alphabet = [16, 128, 256][random(3)]!;
      const codes = Array.from(
        { length: random(40) },
        () => random(alphabet) + (alphabet === 16 ? 48 : 0),
      );
      return String.fromCharCode(...codes);
    },
    (text) => expect(decode(encode(text))).toBe(text),
  );
});
