// The kinds of conversation that clients hold through the gateway, and the outcome
// that each requires. Sizes and pauses come from the conversation's own generator.
import type { Random } from "../support/random-input.ts";
import type { ClientEnd } from "./client-end.ts";
import type { Request } from "./protocol.ts";
import { sizeBetween } from "./seeded.ts";
import type { Sleeper } from "./sleeper.ts";

export interface ConversationContext {
  readonly end: ClientEnd;
  readonly random: Random;
  readonly sleeper: Sleeper;
}

/** Plays the client's part to the end. Returns the failure, or undefined if there was none. */
type Conversation = (context: ConversationContext) => Promise<string | undefined>;

const KIB = 1024;
const MIB = 1024 * KIB;

export const conversations = {
  /** One request and one reply, then one of three endings. */
  async short({ end, random }) {
    const ending = random(3);
    const request = requestOf(end, {
      requestBytes: sizeBetween(random, 1, KIB),
      replyBytes: sizeBetween(random, 1, 8 * KIB),
      serverEnd: ending === 0 ? "after its reply" : "after the client",
    });
    end.sendTo(request.requestBytes);
    await end.untilReceived(request.replyBytes);
    if (ending === 2 && missingReply(end, request) === undefined) {
      end.close();
      return undefined;
    }
    return await finish(end, request);
  },

  /** The client sends its whole request and its FIN before the server replies. */
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

  /** The server sends its FIN first, and must still receive the rest of the request. */
  async "server first"({ end, random }) {
    const request = requestOf(end, {
      requestBytes: sizeBetween(random, 2, 256 * KIB),
      replyBytes: sizeBetween(random, 1, 64 * KIB),
      when: "at once",
      serverEnd: "after its reply",
    });
    end.sendTo(1);
    await end.until(() => end.outcome !== undefined);
    const failure = missingReply(end, request);
    if (failure !== undefined) return failure;
    end.sendTo(request.requestBytes);
    await end.until(() => end.isSent);
    return await finish(end, request);
  },

  /** The client resets midway. The server must receive a reset. */
  async "client reset"({ end, random, sleeper }) {
    const request = requestOf(end, {
      requestBytes: sizeBetween(random, 2, 256 * KIB),
      replyBytes: sizeBetween(random, 1, 256 * KIB),
      when: "at once",
      clientEnd: "by a reset",
    });
    end.sendTo(random(request.requestBytes));
    if (random(2) === 0) await sleeper.sleep(random(20));
    if (end.outcome !== undefined) return end.outcome;
    end.reset();
    return undefined;
  },

  /** The server resets midway. The client must receive a reset. */
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
    return end.outcome === "FIN" ? "a reset arrived as a FIN" : undefined;
  },

  /** Connects and resets at once. */
  async touch({ end }) {
    end.reset();
    return undefined;
  },

  /** Connects, sends nothing, and ends after a while. */
  async silent({ end, random, sleeper }) {
    await sleeper.sleep(sizeBetween(random, 100, 60_000));
    if (end.outcome !== undefined) return end.outcome;
    end.shutdown();
    await end.until(() => end.isClosed);
    return end.outcome === "FIN" ? timeoutFailure(end) : end.outcome;
  },

  /** Two requests with up to 200 s between them. */
  async idle({ end, random, sleeper }) {
    const request = requestOf(end, {
      rounds: 2,
      requestBytes: sizeBetween(random, 1, KIB),
      replyBytes: sizeBetween(random, 1, 4 * KIB),
    });
    end.sendTo(request.requestBytes);
    await end.untilReceived(request.replyBytes);
    await sleeper.sleep(sizeBetween(random, 1000, 200_000));
    end.sendTo(2 * request.requestBytes);
    await end.untilReceived(2 * request.replyBytes);
    return await finish(end, request);
  },

  /** Sends its request byte by byte, with a pause after each. */
  async drip({ end, random, sleeper }) {
    const request = requestOf(end, { requestBytes: 1 + random(40), replyBytes: 1 + random(40) });
    const pauseMs = sizeBetween(random, 1, 1000);
    for (let sent = 0; sent < request.requestBytes && end.outcome === undefined; sent++) {
      end.sendTo(sent + 1);
      await sleeper.sleep(pauseMs);
    }
    await end.untilReceived(request.replyBytes);
    return await finish(end, request);
  },

  /** Either the client or the server pauses its reading. */
  async slow({ end, random }) {
    const isServerSlow = random(2) === 0;
    const request = requestOf(end, {
      requestBytes: sizeBetween(random, 1, isServerSlow ? 4 * MIB : KIB),
      replyBytes: sizeBetween(random, 1, 4 * MIB),
      stallMs: isServerSlow ? sizeBetween(random, 20, 5000) : 0,
      when: "at once",
    });
    if (!isServerSlow) end.pauseMs = sizeBetween(random, 5, 1000);
    end.sendTo(request.requestBytes);
    await end.until(() => end.isSent);
    return await finish(end, request);
  },

  /** Megabytes in both directions at the same time. */
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

type RequestOptions = Partial<Request> & {
  /** Chooses after how many bytes of the reply the server resets. */
  readonly resetFrom?: Random;
};

/** Creates a request and sets it as the one that `end` sends. */
function requestOf(end: ClientEnd, { resetFrom, ...options }: RequestOptions): Request {
  const request: Request = {
    number: end.number,
    rounds: 1,
    requestBytes: 1,
    replyBytes: 1,
    when: "after the request",
    serverEnd: "after the client",
    clientEnd: "by a FIN",
    stallMs: 0,
    resetAtBytes: resetFrom?.(options.replyBytes ?? 1) ?? 0,
    ...options,
  };
  end.setRequest(request);
  return request;
}

/** Sends the client's FIN, then requires the rest of the reply and the server's FIN. */
async function finish(end: ClientEnd, request: Request): Promise<string | undefined> {
  if (!end.isClosed) end.shutdown();
  await end.until(() => end.isClosed);
  return (
    missingReply(end, request) ??
    (end.outcome === "FIN" ? timeoutFailure(end) : `${end.outcome} at the end`)
  );
}

/** Returns a failure if the connection ended before all replies had arrived. */
function missingReply(end: ClientEnd, { rounds, replyBytes }: Request): string | undefined {
  const isMissing = end.receivedBytes < replyBytes && end.outcome !== undefined;
  const isWrongEnd = end.isClosed && end.receivedBytes !== rounds * replyBytes;
  if (!isMissing && !isWrongEnd) return undefined;
  return (
    timeoutFailure(end) ?? `${end.outcome} at ${end.receivedBytes} of ${rounds * replyBytes} bytes`
  );
}

function timeoutFailure(end: ClientEnd): string | undefined {
  return end.isLate ? "no answer in time" : undefined;
}
