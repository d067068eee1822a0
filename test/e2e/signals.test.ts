// Signals that mean nothing to the compiled gateway, and those of a terminal.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { freePort } from "../support/free-port.ts";
import { Command, eventually } from "../support/gateway-command.ts";
import { gatewayBinary, GatewayProcess } from "../support/gateway-process.ts";
import { createGatewayScene } from "../support/gateway-scene.ts";
import { until } from "../support/peer.ts";
import { Terminal } from "../support/pipe-end.ts";

setDefaultTimeout(120_000);

const scene = createGatewayScene();
const { closers, greeter, greeted } = scene;
afterEach(() => scene.close());

const binary = gatewayBinary();
const READY = "ready to proxy client requests";

describe("start with a stray signal", () => {
  const IGNORED = "ignored a signal that means nothing here";

  test.each(["SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO"] as const)(
    "logs %s and keeps its relays",
    async (signal) => {
      const gateway = closers.add(
        await GatewayProcess.start([`--endpoints=127.0.0.1:${greeter().port}`]),
      );
      const client = await greeted(gateway.port);
      gateway.signal(signal);
      expect(await gateway.logged(IGNORED)).toMatchObject({ level: "warn", signal, count: 1 });
      await greeted(gateway.port);
      expect(client.outcome).toBeUndefined();
    },
  );

  test("logs stray signals at most once per second", async () => {
    const gateway = closers.add(
      await GatewayProcess.start([`--endpoints=127.0.0.1:${greeter().port}`]),
    );
    const startedAt = performance.now();
    const isLoggedThreeTimes = () => {
      gateway.signal("SIGUSR1");
      return gateway.lines(IGNORED).length >= 3;
    };
    await until(isLoggedThreeTimes, "three lines were logged", 60_000);
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);

    const seconds = (performance.now() - startedAt) / 1000;
    const counts = gateway.lines(IGNORED).map(({ count }) => count as number);
    expect(counts.length).toBeLessThan(seconds + 3);
    // A later line counts the signals since the line before.
    expect(Math.max(...counts)).toBeGreaterThan(1);
  });

  test("exits at SIGQUIT, as by default", async () => {
    const gateway = closers.add(
      await GatewayProcess.start([`--endpoints=127.0.0.1:${greeter().port}`]),
    );
    gateway.signal("SIGQUIT");
    expect(await gateway.exited()).toBeNull();
  });

  test("is not stopped by SIGTTOU when it logs to a terminal from the background", async () => {
    const terminal = closers.add(new Terminal());
    const port = freePort();
    const flags = [`--listen-addr=127.0.0.1:${port}`, `--endpoints=127.0.0.1:${greeter().port}`];
    // A session leader gets the first terminal that it opens as its controlling terminal. Job
    // control (set -m) runs the gateway in a background process group.
    const script = `exec <>"$1" >&0 2>&0; shift; set -m; stty tostop; "$@" & echo "gateway $!"; exec sleep 600`;
    const words = ["setsid", "sh", "-c", script, "sh", terminal.path, binary, "start"];
    closers.add(new Command([...words, ...flags]));
    let screen = "";
    const pid = () => Number(/gateway (\d+)/.exec((screen += terminal.read()))?.[1]);
    closers.defer(() => process.kill(pid(), "SIGKILL"));
    (await eventually(() => greeted(port), "the gateway served a client", 30_000)).reset();
    await until(() => pid() > 0 && screen.includes(READY), "its log was on the terminal", 30_000);
  });
});
