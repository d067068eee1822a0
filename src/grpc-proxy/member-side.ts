// The member's stream of one attempt of a call: names its events apart from the client's.
import type { HeaderList } from "../http2/header-list.ts";
import type { EndCause, StreamListener } from "../http2/stream.ts";

/** The events of the member's stream. */
export interface MemberEvents {
  memberHeaders(list: HeaderList, isEnd: boolean): void;
  memberData(chunk: Uint8Array, isEnd: boolean): void;
  memberSent(bytes: number): void;
  memberClosed(cause: EndCause, code: number, reason: string): void;
}

export class MemberSide implements StreamListener {
  readonly #call: MemberEvents;

  constructor(call: MemberEvents) {
    this.#call = call;
  }

  headers(list: HeaderList, isEnd: boolean): void {
    this.#call.memberHeaders(list, isEnd);
  }

  data(chunk: Uint8Array, isEnd: boolean): void {
    this.#call.memberData(chunk, isEnd);
  }

  sent(bytes: number): void {
    this.#call.memberSent(bytes);
  }

  closed(cause: EndCause, code: number, reason: string): void {
    this.#call.memberClosed(cause, code, reason);
  }
}
