// The life of the compiled gateway: start, signals, drain, and hostile environments.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "../support/free-port.ts";
import { Command, eventually, output, run } from "../support/gateway-command.ts";
import { gatewayBinary, GatewayProcess } from "../support/gateway-process.ts";
import { createGatewayScene } from "../support/gateway-scene.ts";
import { Peer, until } from "../support/peer.ts";

setDefaultTimeout(60_000);

const MIB = 1 << 20;

const scene = createGatewayScene();
const { closers, startServer, gatewayTo, connect, folder } = scene;
afterEach(() => scene.close());

describe("start after SIGTERM or SIGINT", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "finishes a transfer in both directions, and refuses new clients: %s",
    async (signal) => {
      const server = startServer();
      server.onPeer = (peer) => void peer.send(32 * MIB).then(() => peer.shutdown());
      const gateway = await gatewayTo(server, ["--drain-timeout=30s"]);
      const client = await connect(gateway.port);
      await until(() => client.receivedBytes > 0, "the transfer had begun");
      client.pause();
      const peer = await server.peer();

      gateway.signal(signal);
      expect(await gateway.logged("draining: no new clients")).toMatchObject({
        level: "info",
        relays: 1,
        timeout: "30s",
      });
      expect(peer.isSending).toBe(true);
      await expect(Peer.connect(gateway.port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
      client.resume();
      await client.send(MIB);
      client.shutdown();

      expect(await client.gone()).toBe("end");
      expect(await peer.gone()).toBe("end");
      expect([client.receivedBytes, client.firstWrongByte]).toEqual([32 * MIB, undefined]);
      expect([peer.receivedBytes, peer.firstWrongByte]).toEqual([MIB, undefined]);
      expect(await gateway.exited()).toBe(0);
      expect(gateway.lines("stopping")).toMatchObject([{ level: "info", signal }]);
      expect(gateway.log.at(-1)).toMatchObject({ level: "info", msg: "stopped", cut: 0 });
    },
  );

  test("resets the remaining connections after --drain-timeout, and logs their number", async () => {
    const server = startServer();
    const gateway = await gatewayTo(server, ["--drain-timeout=300ms"]);
    const [stuck, ending] = [await connect(gateway.port), await connect(gateway.port)];
    const [stuckServer, endingServer] = [await server.peer(0), await server.peer(1)];
    gateway.signal("SIGTERM");
    expect(await gateway.logged("draining: no new clients")).toMatchObject({ relays: 2 });
    ending.shutdown();
    endingServer.shutdown();
    expect(await ending.gone()).toBe("end");
    expect(await stuck.gone()).toBe("ECONNRESET");
    expect(await stuckServer.gone()).toBe("ECONNRESET");
    expect(await gateway.exited()).toBe(0);
    expect(gateway.log.at(-1)).toMatchObject({ msg: "stopped", cut: 1 });
  });

  test("resets all connections at a second signal", async () => {
    const server = startServer();
    const gateway = await gatewayTo(server, ["--drain-timeout=1h"]);
    const client = await connect(gateway.port);
    await server.peer();
    gateway.signal("SIGTERM");
    await gateway.logged("draining: no new clients");
    expect(client.outcome).toBeUndefined();
    gateway.signal("SIGINT");
    expect(await client.gone()).toBe("ECONNRESET");
    expect(await gateway.exited()).toBe(0);
    expect(gateway.log.at(-1)).toMatchObject({ msg: "stopped", cut: 1 });
  });

  test("exits at once without a client", async () => {
    const gateway = await gatewayTo(startServer(), ["--drain-timeout=1h"]);
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    expect(gateway.log.map(({ msg }) => msg)).toEqual([
      "listening",
      "ready to proxy client requests",
      "stopping",
      "draining: no new clients",
      "stopped",
    ]);
    expect(gateway.log.at(-1)).toMatchObject({ cut: 0 });
  });
});

describe("start", () => {
  test("exits with 1 and names the address if it is in use", async () => {
    const { port } = startServer();
    const words = [gatewayBinary(), "start", `--listen-addr=127.0.0.1:${port}`];
    const gateway = closers.add(new GatewayProcess(words));
    expect(await gateway.exited()).toBe(1);
    expect(gateway.stdout).toBe("");
    expect(gateway.log).toMatchObject([
      {
        level: "error",
        msg: `Cannot listen on "127.0.0.1:${port}": the address is in use; stop the other program or choose another --listen-addr`,
      },
    ]);
    expect(gateway.stderr).toBe(`${gateway.stderr.trimEnd()}\n`);
  });

  test("accepts connections, and this test prints how soon", async () => {
    const server = startServer();
    const port = freePort();
    const flags = [`--endpoints=127.0.0.1:${server.port}`, `--listen-addr=127.0.0.1:${port}`];
    const from = performance.now();
    const gateway = closers.add(new GatewayProcess([gatewayBinary(), "start", ...flags]));
    const client = await eventually(() => Peer.connect(port), "the gateway accepted a client");
    const ms = performance.now() - from;
    await server.peer();
    client.reset();
    const figures = `${gateway.residentKib} KiB resident, ${gateway.descriptors} descriptors`;
    console.log(`first connection accepted ${ms.toFixed(1)} ms after the start; ${figures}`);
  });
});

describe("start in a hostile folder or environment", () => {
  const bun = process.execPath;

  /** Creates a folder with a program that writes the file `ran`. */
  async function trap(): Promise<{ path: string; program: string; ran: () => boolean }> {
    const path = await folder();
    const [program, mark] = [join(path, "foreign.ts"), join(path, "ran")];
    const text = `import { writeFileSync } from "node:fs"; writeFileSync("${mark}", "");`;
    await writeFile(program, text);
    return { path, program, ran: () => existsSync(mark) };
  }

  test("ignores .env and bunfig.toml of the working folder", async () => {
    const { path, program, ran } = await trap();
    await writeFile(join(path, "bunfig.toml"), `preload = ["${program}"]\n`);
    await writeFile(join(path, ".env"), "ETCD_GATEWAY_RETRY_DELAY=bogus\n");
    const gateway = await gatewayTo(startServer(), [], { cwd: path });
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    expect(gateway.log.filter(({ level }) => level !== "info")).toEqual([]);
    expect(ran()).toBe(false);
    // The control: Bun itself reads both files.
    const read = await output([bun, "-p", "process.env.ETCD_GATEWAY_RETRY_DELAY"], { cwd: path });
    expect([read, ran()]).toEqual(["bogus\n", true]);
  });

  test("exits with 1 if BUN_OPTIONS is set, and does not run the program that it names", async () => {
    const { path, program, ran } = await trap();
    const env = { BUN_OPTIONS: `--preload=${program}` };
    expect((await run([gatewayBinary(), "version"], { cwd: path, env })).status).toBe(1);
    expect(ran()).toBe(false);
    await output([bun, "-p", "1"], { cwd: path, env });
    expect(ran()).toBe(true);
  });

  test("exits with 1 if BUN_INSPECT is set", async () => {
    const port = freePort();
    const env = { BUN_INSPECT: `ws://127.0.0.1:${port}/inspector` };
    expect((await run([gatewayBinary(), "version"], { env })).status).toBe(1);
    // The control: Bun itself opens the port of its inspector.
    closers.add(new Command([bun, "-e", "setInterval(() => {}, 1000)"], { env }));
    await eventually(() => connect(port), "Bun's inspector was open");
  });
});
