// What the namespace changes in a message: its fields that hold keys, range ends, or messages
// with such fields. etcd-shapes.ts has the messages, message-rewriter.ts carries out the rules.

/**
 * What happens to the value of a field.
 * - "prefix": a key of a request; the prefix goes before it.
 * - "range-end": the range end of a request; moves into the namespace.
 * - "strip": a key of an answer; loses the prefix, which it must have.
 * - "strip-or-drop": like "strip", but the field is left out if its key has another prefix.
 * - "embedded": a message of the field's shape.
 */
export type Rule = "prefix" | "range-end" | "strip" | "strip-or-drop" | "embedded";

/** How often a field counts: each time, the last time, or only as the last member of the oneof. */
export type Occurrence = "repeated" | "single" | "oneof";

export interface FieldSpec {
  readonly number: number;
  /** The name in etcd's Go code, for errors. */
  readonly name: string;
  readonly rule: Rule;
  /** "single" if undefined. */
  readonly occurrence?: Occurrence;
  /** Of an embedded message. */
  readonly shape?: Shape;
  /** The gRPC code that refuses an empty key. Undefined: the prefix becomes the key. */
  readonly emptyKeyCode?: number;
}

export interface Field {
  readonly number: number;
  readonly name: string;
  readonly rule: Rule;
  readonly occurrence: Occurrence;
  readonly shape: Shape | undefined;
  readonly emptyKeyCode: number | undefined;
  /** Differs among the fields of a message; the members of the oneof share it. 0 if repeated. */
  readonly bit: number;
}

const ONEOF_BIT = 1;
const FIRST_SINGLE_BIT = 2;

export class Shape {
  /** The keys of the message. They are checked even if they are absent, which means empty. */
  readonly keys: Field[] = [];
  /** The key that is added if it is absent, since the prefix becomes the key; at most one. */
  addedKey: Field | undefined;
  readonly #fields: (Field | undefined)[] = [];

  /** `name` is the name in etcd's Go code, for errors. */
  constructor(
    readonly name: string,
    specs: readonly FieldSpec[],
  ) {
    this.define(specs);
  }

  /** Adds fields. For messages that contain themselves; others take all in the constructor. */
  define(specs: readonly FieldSpec[]): void {
    for (const { occurrence = "single", shape, emptyKeyCode, ...spec } of specs) {
      const field = { ...spec, occurrence, shape, emptyKeyCode, bit: this.#bitFor(occurrence) };
      while (this.#fields.length <= field.number) this.#fields.push(undefined);
      this.#fields[field.number] = field;
      if (field.rule === "prefix" || field.rule === "strip") this.keys.push(field);
      if (field.rule === "prefix" && emptyKeyCode === undefined) this.addedKey = field;
    }
  }

  /** Returns the field with this number; undefined if it passes as it is. */
  field(number: number): Field | undefined {
    return number < this.#fields.length ? this.#fields[number] : undefined;
  }

  #bitFor(occurrence: Occurrence): number {
    if (occurrence === "repeated") return 0;
    if (occurrence === "oneof") return ONEOF_BIT;
    const singles = this.#fields.filter((field) => field?.occurrence === "single").length;
    return FIRST_SINGLE_BIT << singles;
  }
}
