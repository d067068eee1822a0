// The Huffman code of HPACK (RFC 7541, section 5.2 and appendix B). Its tables, 18 KiB for all
// connections together, are computed at first use, so that they cost nothing at start.

/**
 * The code lengths of the symbols 0 to 255 in bits, one base-36 digit each. The code is
 * canonical: codes of the same length are consecutive, in the order of their symbols.
 */
const CODE_LENGTHS =
  "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca" +
  "d67777777777777777777777878djde6f56565666577666567655677777fbeds" +
  "kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn" +
  "qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq";
const EOS = 256;
const EOS_LENGTH = 30;
const MAX_PADDING_BITS = 7;

interface EncodeTable {
  /** Code and length in bits by symbol, EOS included. */
  readonly codes: Uint32Array;
  readonly lengths: Uint8Array;
}

// An entry of the decode table, one for each state and nibble: the next state in bits 0 to 7,
// a symbol in bits 8 to 15, and these flags. A state is an inner node of the code's tree.
const EMIT = 1 << 16;
/** Comes with EMIT: the symbol is EOS, which a string must not contain. */
const INVALID = 1 << 17;
/** The string may end here: the bits since the last symbol are valid padding. */
const MAY_END = 1 << 18;

const STATES = 256;
const NIBBLES = 16;
const ROOT = 0;

let encodeTable: EncodeTable | undefined;
let decodeTable: Uint32Array | undefined;

/** Returns the length of `text` in bytes once it is encoded. */
export function huffmanBytes(text: string): number {
  const { lengths } = (encodeTable ??= createEncodeTable());
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += lengths[text.charCodeAt(i) & 0xff]!;
  return (bits + 7) >>> 3;
}

/**
 * Encodes `text` (latin1) to `out` from `offset`, which has room for `huffmanBytes(text)`.
 * Returns the end offset.
 */
export function encodeHuffman(text: string, out: Uint8Array, offset: number): number {
  const { codes, lengths } = (encodeTable ??= createEncodeTable());
  let at = offset;
  // The low `pending` bits of `bits` are not written yet. Higher bits are leftovers.
  let bits = 0;
  let pending = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 0xff;
    const code = codes[symbol]!;
    let length = lengths[symbol]!;
    if (length > 16) {
      // Written in two parts, since 7 pending bits and 30 bits do not fit into 32.
      length -= 16;
      bits = (bits << length) | (code >>> 16);
      for (pending += length; pending >= 8; pending -= 8) out[at++] = bits >>> (pending - 8);
      length = 16;
    }
    bits = (bits << length) | (code & 0xffff);
    for (pending += length; pending >= 8; pending -= 8) out[at++] = bits >>> (pending - 8);
  }

  // The padding is the start of EOS, which is all ones.
  if (pending > 0) out[at++] = (bits << (8 - pending)) | (0xff >>> pending);
  return at;
}

/**
 * Decodes the bytes from `start` to `end` of `from` to the start of `to`. Returns the decoded
 * length; -1 if the bytes contain EOS, or their padding is longer than 7 bits or not all ones.
 * Symbols for which `to` has no room are counted, not stored.
 */
export function decodeHuffman(
  from: Uint8Array,
  start: number,
  end: number,
  to: Uint8Array,
): number {
  const table = (decodeTable ??= createDecodeTable());
  let length = 0;
  let entry = ROOT | MAY_END;
  for (let at = start; at < end; at++) {
    const byte = from[at]!;
    for (let shift = 4; shift >= 0; shift -= 4) {
      entry = table[((entry & 0xff) * NIBBLES) | ((byte >>> shift) & 0xf)]!;
      if ((entry & EMIT) === 0) continue;
      if ((entry & INVALID) !== 0) return -1;
      to[length++] = entry >>> 8;
    }
  }
  return (entry & MAY_END) === 0 ? -1 : length;
}

function createEncodeTable(): EncodeTable {
  const lengths = new Uint8Array(EOS + 1);
  for (let symbol = 0; symbol < EOS; symbol++)
    lengths[symbol] = Number.parseInt(CODE_LENGTHS[symbol]!, 36);
  lengths[EOS] = EOS_LENGTH;

  // next[n]: the next unused code of n bits.
  const next = new Uint32Array(EOS_LENGTH + 2);
  for (const length of lengths) next[length + 1]!++;
  for (let length = 1; length <= EOS_LENGTH; length++)
    next[length + 1] = (next[length]! + next[length + 1]!) * 2;
  const codes = Uint32Array.from(lengths, (length) => next[length]!++);
  return { codes, lengths };
}

function createDecodeTable(): Uint32Array {
  const children = createTree();
  const isPadding = paddingStates(children);
  const table = new Uint32Array(STATES * NIBBLES);
  for (let i = 0; i < table.length; i++) {
    let state = Math.floor(i / NIBBLES);
    let entry = 0;
    for (let bit = 3; bit >= 0; bit--) {
      const child = children[state * 2 + ((i >>> bit) & 1)]!;
      state = Math.max(child, ROOT);
      if (child < 0) entry = EMIT | (~child === EOS ? INVALID : ~child << 8);
    }
    table[i] = entry | state | (isPadding[state] ? MAY_END : 0);
  }
  return table;
}

/**
 * Creates the code's tree. Each inner node, from ROOT on, has two elements for its children:
 * the number of an inner node, or `~symbol` for a leaf.
 */
function createTree(): Int16Array {
  const { codes, lengths } = (encodeTable ??= createEncodeTable());
  const children = new Int16Array(STATES * 2);
  let states = 1;
  for (let symbol = 0; symbol <= EOS; symbol++) {
    let state = ROOT;
    for (let bit = lengths[symbol]! - 1; bit > 0; bit--) {
      const edge = state * 2 + ((codes[symbol]! >>> bit) & 1);
      if (children[edge] === ROOT) children[edge] = states++;
      state = children[edge]!;
    }
    children[state * 2 + (codes[symbol]! & 1)] = ~symbol;
  }
  return children;
}

/** Finds the states that up to 7 ones lead to from the root. */
function paddingStates(children: Int16Array): boolean[] {
  const isPadding = Array.from({ length: STATES }, () => false);
  let state = ROOT;
  for (let bits = 0; bits <= MAX_PADDING_BITS; bits++) {
    isPadding[state] = true;
    state = children[state * 2 + 1]!;
  }
  return isPadding;
}
