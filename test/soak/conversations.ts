// The kinds of conversation that clients have through the gateway, and what each
// of them may expect. Sizes and pauses are the conversation's own random numbers.
import type { Random } from "../support/random-input.ts";
import type { ClientEnd } from "./client-end.ts";
import type { Patience } from "./patience.ts";
import type { Request } from "./protocol.ts";
import { sizeBetween } from "./seeded.ts";

export interface Talk {
  readonly end: ClientEnd;
  readonly random: Random;
  readonly patience: Patience;
}

/** Plays the client's part to the end; returns what went wrong. */
type Conversation = (talk: Talk) => Promise<string | undefined>;

const KIB = 1024;
const MIB = 1024 * KIB;

export const conversations = {
  /** A request, a reply, and one of three ends. */
  async short({ end, random }) {
    const ending = random(3);
    const request = requestOf(end, {
      requestBytes: sizeBetween(random, 1, KIB),
      replyBytes: sizeBetween(random, 1, 8 * KIB),
      serverEnd: ending === 0 ? "after its reply" : "after the client",
    });
    end.sendTo(request.requestBytes);
    await end.heard(request.replyBytes);
    if (ending === 2 && lost(end, request) === undefined) {
      end.close();
      return undefined;
    }
    return await finish(end, request);
  },

  /** All is asked and the client's FIN sent before the server says a word. */
  async "half-close"({ end, random }) {
    const request = requestOf(end, {
      requestBytes: sizeBetween(random, 1, 64 * KIB),
      replyBytes: sizeBetween(random, 1, 64 * KIB),
      when: "after the client's FIN",
    });
    end.sendTo(request.requestBytes);
    await end.until(() => end.isSent);
    return await finish(end, request);
  },

  /** The server has ended its sending, and must still get all of the request. */
  async "server first"({ end, random }) {
    const request = requestOf(end, {
      requestBytes: sizeBetween(random, 2, 256 * KIB),
      replyBytes: sizeBetween(random, 1, 64 * KIB),
      when: "at once",
      serverEnd: "after its reply",
    });
    end.sendTo(1);
    await end.until(() => end.outcome !== undefined);
    const failure = lost(end, request);
    if (failure !== undefined) return failure;
    end.sendTo(request.requestBytes);
    await end.until(() => end.isSent);
    return await finish(end, request);
  },

  /** The client resets in the middle, which the server must see as a reset. */
  async "client reset"({ end, random, patience }) {
    const request = requestOf(end, {
      requestBytes: sizeBetween(random, 2, 256 * KIB),
      replyBytes: sizeBetween(random, 1, 256 * KIB),
      when: "at once",
      clientEnd: "by a reset",
    });
    end.sendTo(random(request.requestBytes));
    if (random(2) === 0) await patience.wait(random(20));
    if (end.outcome !== undefined) return end.outcome;
    end.reset();
    return undefined;
  },

  /** The server resets in the middle, which the client must see as a reset. */
  async "server reset"({ end, random }) {
    const request = requestOf(end, {
      requestBytes: sizeBetween(random, 1, 256 * KIB),
      replyBytes: sizeBetween(random, 1, 256 * KIB),
      when: "at once",
      serverEnd: "by a reset",
      clientEnd: "in any way",
      resetFrom: random,
    });
    end.sendTo(request.requestBytes);
    await end.until(() => end.outcome !== undefined);
    return end.outcome === "FIN" ? "a reset came as a FIN" : undefined;
  },

  /** Connects and resets at once. */
  async touch({ end }) {
    end.reset();
    return undefined;
  },

  /** Connects, never sends, and ends after a while. */
  async silent({ end, random, patience }) {
    await patience.wait(sizeBetween(random, 100, 60_000));
    if (end.outcome !== undefined) return end.outcome;
    end.shutdown();
    await end.until(() => end.isClosed);
    return end.outcome === "FIN" ? late(end) : end.outcome;
  },

  /** Asks, is idle for up to minutes, and asks again. */
  async idle({ end, random, patience }) {
    const request = requestOf(end, {
      rounds: 2,
      requestBytes: sizeBetween(random, 1, KIB),
      replyBytes: sizeBetween(random, 1, 4 * KIB),
    });
    end.sendTo(request.requestBytes);
    await end.heard(request.replyBytes);
    await patience.wait(sizeBetween(random, 1000, 200_000));
    end.sendTo(2 * request.requestBytes);
    await end.heard(2 * request.replyBytes);
    return await finish(end, request);
  },

  /** Sends a byte, waits, sends a byte. */
  async drip({ end, random, patience }) {
    const request = requestOf(end, { requestBytes: 1 + random(40), replyBytes: 1 + random(40) });
    const pauseMs = sizeBetween(random, 1, 1000);
    for (let sent = 0; sent < request.requestBytes && end.outcome === undefined; sent++) {
      end.sendTo(sent + 1);
      await patience.wait(pauseMs);
    }
    await end.heard(request.replyBytes);
    return await finish(end, request);
  },

  /** Reads with pauses; or the server does. */
  async slow({ end, random }) {
    const isServerSlow = random(2) === 0;
    const request = requestOf(end, {
      requestBytes: sizeBetween(random, 1, isServerSlow ? 4 * MIB : KIB),
      replyBytes: sizeBetween(random, 1, 4 * MIB),
      deafMs: isServerSlow ? sizeBetween(random, 20, 5000) : 0,
      when: "at once",
    });
    if (!isServerSlow) end.pauseMs = sizeBetween(random, 5, 1000);
    end.sendTo(request.requestBytes);
    await end.until(() => end.isSent);
    return await finish(end, request);
  },

  /** Megabytes both ways at the same time. */
  async bulk({ end, random }) {
    const request = requestOf(end, {
      requestBytes: sizeBetween(random, MIB, 8 * MIB),
      replyBytes: sizeBetween(random, MIB, 8 * MIB),
      when: "at once",
    });
    end.sendTo(request.requestBytes);
    await end.until(() => end.isSent);
    return await finish(end, request);
  },
} satisfies Record<string, Conversation>;

export type Kind = keyof typeof conversations;

type Wishes = Partial<Request> & { readonly resetFrom?: Random };

/** A request with these wishes, told to the end that will send it. */
function requestOf(end: ClientEnd, { resetFrom, ...wishes }: Wishes): Request {
  const request: Request = {
    number: end.number,
    rounds: 1,
    requestBytes: 1,
    replyBytes: 1,
    when: "after the request",
    serverEnd: "after the client",
    clientEnd: "by a FIN",
    deafMs: 0,
    resetAtBytes: resetFrom?.(wishes.replyBytes ?? 1) ?? 0,
    ...wishes,
  };
  end.ask(request);
  return request;
}

/** The client's FIN, then the rest of the reply, then the server's FIN, and nothing else. */
async function finish(end: ClientEnd, request: Request): Promise<string | undefined> {
  if (!end.isClosed) end.shutdown();
  await end.until(() => end.isClosed);
  return lost(end, request) ?? (end.outcome === "FIN" ? late(end) : `${end.outcome} at the end`);
}

/** What of the replies so far is missing. */
function lost(end: ClientEnd, { rounds, replyBytes }: Request): string | undefined {
  const isMissing = end.receivedBytes < replyBytes && end.outcome !== undefined;
  const isWrongEnd = end.isClosed && end.receivedBytes !== rounds * replyBytes;
  if (!isMissing && !isWrongEnd) return undefined;
  return late(end) ?? `${end.outcome} at ${end.receivedBytes} of ${rounds * replyBytes} bytes`;
}

function late(end: ClientEnd): string | undefined {
  return end.isLate ? "no answer in time" : undefined;
}
