// DNS servers without sockets: a test says what each answers to each question,
// on a clock of its own. For the rules of src/dns; real servers are in
// dns-server.ts and broken-dns.ts.
import * as packet from "dns-packet";
import { formatHostPort, type HostPort } from "../../src/core/address.ts";
import type { Transport } from "../../src/dns/transport.ts";
import { StubResolver, type StubResolverDeps } from "../../src/dns/stub-resolver.ts";
import { ManualClock } from "./manual-clock.ts";

/** One exchange as the transport saw it. */
export interface Asked {
  readonly server: string;
  /** `A host.test.` */
  readonly question: string;
  readonly overTcp: boolean;
  readonly query: packet.DecodedPacket;
}

/** What becomes of an exchange: bytes that arrive, an error's code, or silence. */
export type Reply = Uint8Array | readonly Uint8Array[] | { readonly code: string } | "silent";

export type Script = (asked: Asked) => Reply;

/** Records by question. Others do not exist. */
export type Records = Readonly<Record<string, readonly string[]>>;

export const RCODES = {
  ok: 0,
  formerr: 1,
  servfail: 2,
  nxdomain: 3,
  notimp: 4,
  refused: 5,
} as const;

/** Flags of a recursive server's answer. */
const ANSWERED = packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE;

export function answer(
  asked: Asked,
  texts: readonly string[],
  { rcode = 0, flags = ANSWERED, ttl = 60 } = {},
): Buffer {
  const { id = 0, questions = [] } = asked.query;
  const { name, type } = questions[0]!;
  const answers = texts.map((text) => {
    if (type !== "SRV") return { name, type, ttl, data: text };
    const [priority, weight, port, target] = text.split(" ") as [string, string, string, string];
    const data = {
      priority: Number(priority),
      weight: Number(weight),
      port: Number(port),
      target,
    };
    return { name, type, ttl, data };
  });
  return packet.encode({
    type: "response",
    id,
    flags: flags | rcode,
    questions,
    answers: answers as packet.Answer[],
  });
}

/** A server that has these records and no others. */
export const zone =
  (records: Records, ttl = 60): Script =>
  (asked) => {
    const found = records[asked.question];
    const isKnown = Object.keys(records).some(
      (key) => key.split(" ")[1] === asked.question.split(" ")[1],
    );
    if (found === undefined) return answer(asked, [], { rcode: isKnown ? 0 : RCODES.nxdomain });
    return answer(asked, found, { ttl });
  };

export const fails =
  (rcode: keyof typeof RCODES): Script =>
  (asked) =>
    answer(asked, [], { rcode: RCODES[rcode] });

export const silent: Script = () => "silent";

export class ScriptedDns implements Transport {
  readonly asked: Asked[] = [];
  /** By `host:port`. */
  readonly servers: Record<string, Script>;
  /** Exchanges at this moment, and the most so far. */
  open = 0;
  most = 0;

  constructor(servers: Record<string, Script>) {
    this.servers = servers;
  }

  /** `10.0.0.1 A host.test.`, in the order of the questions. */
  get log(): string[] {
    return this.asked.map(
      ({ server, question, overTcp }) =>
        `${server.replace(/:53$/, "")}${overTcp ? " tcp" : ""} ${question}`,
    );
  }

  exchangeUdp(
    server: HostPort,
    query: Uint8Array,
    accepts: (answer: Uint8Array) => boolean,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    return this.#exchange(server, query, false, accepts, signal);
  }

  exchangeTcp(server: HostPort, query: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    return this.#exchange(server, query, true, () => true, signal);
  }

  async #exchange(
    server: HostPort,
    bytes: Uint8Array,
    overTcp: boolean,
    accepts: (answer: Uint8Array) => boolean,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const query = packet.decode(Buffer.from(bytes));
    const { name, type } = query.questions![0]!;
    const asked = { server: formatHostPort(server), question: `${type} ${name}.`, overTcp, query };
    this.asked.push(asked);
    this.most = Math.max(this.most, ++this.open);
    try {
      const reply = this.servers[asked.server]?.(asked) ?? "silent";
      if (typeof reply === "object" && "code" in reply) throw Object.assign(new Error(), reply);
      const datagrams = reply === "silent" ? [] : reply instanceof Uint8Array ? [reply] : reply;
      const accepted = datagrams.find((datagram) => accepts(datagram));
      if (accepted !== undefined) return accepted;
      await new Promise<void>((_, reject) => {
        signal.addEventListener("abort", () => reject(new Error("aborted")));
      });
      throw new Error("unreachable");
    } finally {
      this.open--;
    }
  }
}

/** Files by path. */
export type Files = Record<string, string>;

/** A resolver on scripted servers, with files that a test may change. */
export function scriptedResolver(
  servers: Record<string, Script>,
  files: Files = {},
  more: Partial<StubResolverDeps> = {},
) {
  const dns = new ScriptedDns(servers);
  const clock = new ManualClock();
  const reads: string[] = [];
  const text = (path: string): string => {
    const found = files[path];
    if (found === undefined) throw Object.assign(new Error(path), { code: "ENOENT" });
    return found;
  };
  const resolver = new StubResolver({
    transport: dns,
    clock,
    files: {
      version: async (path) => text(path),
      read: async (path) => {
        reads.push(path);
        return text(path);
      },
    },
    randomId: () => 4711,
    hostname: () => "machine",
    prefersSystem: false,
    sourceAddress: () => undefined,
    systemLookup: async () => ({ code: "ESYSTEM" }),
    ...more,
  });
  return { dns, clock, resolver, files, reads };
}

/** Lets promises come to rest, without time. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 100; i++) await Promise.resolve();
}
