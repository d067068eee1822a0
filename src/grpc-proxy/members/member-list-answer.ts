// The answer to MemberList: the proxies instead of etcd's members, so that clients which
// follow the list stay with the proxies. The header is etcd's.
import { createHash } from "node:crypto";
import { encodeEmbedded, encodeMessage, Message } from "../../protobuf/message.ts";
import type { ProxyMember } from "./proxy-members.ts";

/**
 * Returns a MemberListResponse with the header of `answer` and `members`. Their ids are
 * hashes of their addresses: stable, and not 0.
 */
export function withProxyMembers(answer: Uint8Array, members: readonly ProxyMember[]): Uint8Array {
  const header = new Message(answer).bytes(1);
  return Buffer.concat([
    encodeEmbedded(1, header),
    ...members.map(({ name, address }) =>
      encodeEmbedded(
        2,
        encodeMessage([
          [1, idOf(address)],
          [2, name],
          [4, address],
        ]),
      ),
    ),
  ]);
}

function idOf(address: string): bigint {
  return createHash("sha256").update(address).digest().readBigUInt64BE() || 1n;
}
