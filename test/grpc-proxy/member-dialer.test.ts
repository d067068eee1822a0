// Dials of members over TLS: their timeout. What they verify is tested with the settings.
import { afterEach, describe, expect, test } from "bun:test";
import type { DialError } from "../../src/net/dial-error.ts";
import { HedgeBudget } from "../../src/net/race.ts";
import { adoptConnecting, type TcpSocket } from "../../src/net/tcp-socket.ts";
import * as system from "../../src/os/tcp.ts";
import { MemberDialer } from "../../src/grpc-proxy/member-dialer.ts";
import { Endpoint } from "../../src/resolver/endpoint.ts";
import { parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import { Closers } from "../support/gateway-command.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { until } from "../support/peer.ts";
import { clientSettings } from "../support/tls-context.ts";
import { TlsServer } from "../support/tls-server.ts";

const closers = new Closers();
afterEach(() => closers.close());

const tls = {
  trustedCaFile: undefined,
  certFile: undefined,
  keyFile: undefined,
  insecureSkipVerify: true,
};

describe("MemberDialer", () => {
  test("dial() gives the connection and the handshake one --dial-timeout together", async () => {
    const clock = new ManualClock();
    const server = closers.add(await TlsServer.mute());
    let connect = () => {};
    const tcp = {
      hedgeBudget: new HedgeBudget(),
      dial(_: Endpoint, events: { connected(socket: TcpSocket): void }) {
        connect = () => dialLoopback(server.port, (socket) => events.connected(socket));
        return () => {};
      },
    };
    const settings = await clientSettings({ insecureSkipVerify: true });
    const dialer = new MemberDialer(
      tcp,
      clock,
      {
        ...{ isListening: false, clientSettings: undefined, start: async () => {} },
        ...{ memberSettings: async () => settings, checkMemberFiles: async () => {}, close() {} },
      },
      () => ({ tls, dialTimeoutMs: 5000 }),
    );

    let error: DialError | undefined;
    const endpoint = new Endpoint(parseStaticEndpoint(`127.0.0.1:${server.port}`));
    dialer.dial(endpoint, {
      connected: (socket) => socket.terminate(),
      failed: (failure) => {
        error = failure;
      },
    });
    await Bun.sleep(0);
    clock.advance(4000);
    connect();
    await until(() => clock.pending === 1, "the handshake began");
    clock.advance(999);
    expect(error).toBeUndefined();
    clock.advance(1);
    expect(error?.message).toBe(
      `dial tcp 127.0.0.1:${server.port}: TLS: no answer in time (ETIMEDOUT)`,
    );
  });
});

function dialLoopback(port: number, connected: (socket: TcpSocket) => void): void {
  let socket: TcpSocket;
  adoptConnecting(system.startConnect("127.0.0.1", port), {
    opened: (opened) => {
      socket = opened;
    },
    writable: () => connected(socket),
    received() {},
    ended() {},
    closed() {},
  });
}
