// `grpc-proxy check` against real members, with and without TLS.
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"; // prettier-ignore
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../support/gateway-command.ts";
import { gatewayBinary } from "../../support/gateway-process.ts";
import { GrpcProxyTlsScene, releases } from "../../support/grpc-proxy-tls-scene.ts";
import type { SingleEtcd } from "../../support/single-etcd.ts";
import type { KeyPair } from "../../support/tls-certificates.ts";

setDefaultTimeout(60_000);

const [[, release]] = releases as [(typeof releases)[0]];

/** Replaces the durations, which differ between runs, and folds spaces. */
const withoutTimes = (text: string) =>
  text.replaceAll(/\([\d.]+ms\)/g, "(ms)").replaceAll(/ +/g, " ");

async function check(...flags: string[]) {
  const { status, stdout, stderr } = await run([gatewayBinary(), "grpc-proxy", "check", ...flags]);
  return { status, stderr, lines: withoutTimes(stdout).split("\n").slice(0, -1) };
}

describe("grpc-proxy check", () => {
  const scene = new GrpcProxyTlsScene(release);
  let plain: SingleEtcd;
  let server: KeyPair;
  let folder: string;
  beforeAll(async () => {
    await scene.start();
    plain = await scene.sharedEtcd({ scheme: "http" });
    server = await scene.serverPair();
    folder = mkdtempSync(join(tmpdir(), "etcd-gateway-check-"));
  });
  afterEach(() => scene.endTest());
  afterAll(async () => {
    await scene.close();
    rmSync(folder, { recursive: true });
  });

  const row = (endpoint: string, result: string, from = "--endpoints") =>
    `${endpoint} ${from} 0 0 127.0.0.1 (ms) ${result} (ms) -`;

  test("prints what it saw, and exits with 0 only if every member takes calls", async () => {
    const good = await check(`--endpoints=${plain.address}`);
    expect(good).toEqual({
      status: 0,
      stderr: "",
      lines: [
        "ENDPOINT FROM PRIORITY WEIGHT RESOLVES ACCEPTS VERIFIES",
        row(plain.address, "yes"),
        "all is well",
      ],
    });

    const bad = await check(`--endpoints=${plain.address},127.0.0.1:1`);
    expect(bad.lines.slice(1)).toEqual([
      row(plain.address, "yes"),
      row("127.0.0.1:1", "no: connection refused"),
      "not all is well",
    ]);
    expect(bad.status).toBe(1);
  });

  test("connects with the TLS of each endpoint, and says why a member refuses it", async () => {
    const etcd = await scene.secureEtcd(server, scene.authority.cert);
    const url = `https://${etcd.address}`;
    const client = await scene.clientPair();
    const trusted = [`--cacert=${scene.authority.cert}`];
    const own = [`--cert=${client.cert}`, `--key=${client.key}`];
    const both = await check(`--endpoints=${url},http://${plain.address}`, ...trusted, ...own);
    expect(both.lines.slice(1)).toEqual([
      row(etcd.address, "yes"),
      row(plain.address, "yes"),
      "all is well",
    ]);

    const reasonOf = async (...flags: string[]) => (await check(...flags)).lines[1];
    expect(await reasonOf(`--endpoints=${url}`, ...trusted)).toMatch(
      /no: .*it (refuses the|demands a) client certificate/,
    );
    expect(await reasonOf(`--endpoints=${url}`, `--cacert=${scene.stranger.cert}`)).toContain(
      "its certificate is signed by an unknown authority",
    );
    expect(await reasonOf(`--endpoints=http://${etcd.address}`)).toContain(
      "if the member speaks TLS, its endpoint must begin with https://",
    );
  });

  test("reads the member list, and prints JSON with --output=json", async () => {
    const localhost = `localhost:${plain.port}`;
    const flags = [`--endpoints=${localhost}`, "--endpoints-auto-sync-interval=1s"];
    expect((await check(...flags)).lines).toContain(row(plain.address, "yes", "member list"));

    const words = [gatewayBinary(), "grpc-proxy", "check", ...flags, "--output=json"];
    const { ok, endpoints } = JSON.parse((await run(words)).stdout);
    expect(ok).toBe(true);
    expect(endpoints.map(({ endpoint }: { endpoint: string }) => endpoint)).toEqual([
      localhost,
      plain.address,
    ]);
  });

  test("refuses what start refuses: files, a common name, its own address, flags", async () => {
    const endpoints = `--endpoints=${plain.address}`;
    const gone = await check(endpoints, "--cert-file=/gone.pem", "--key-file=/gone.pem");
    expect(gone.lines[0]).toBe('error: Cannot use --cert-file "/gone.pem": there is no such file');
    expect(gone.status).toBe(1);

    const named = await check(endpoints, `--cert=${server.cert}`, `--key=${server.key}`);
    expect(named.lines[0]).toContain("cert has non empty Common Name");

    const password = await check(endpoints, "--user=u", "--password-file=/gone");
    expect(password.stderr).toContain('Cannot read --password-file "/gone": there is no such file');
    expect(password.status).toBe(1);

    const self = await check("--endpoints=127.0.0.1:23790");
    expect(self.stderr).toContain("this process's own --listen-addr");
    expect(self.status).toBe(2);

    const file = join(folder, "proxy.yaml");
    writeFileSync(file, `endpoints: ${plain.address}\nmax-send-bytes: many\n`);
    const wrong = await check(`--config-file=${file}`);
    expect(wrong.stderr).toContain(`Cannot use "max-send-bytes" in ${file} line 2`);
    expect(wrong.status).toBe(2);
  });

  test("neither listens nor creates a certificate", async () => {
    const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    scene.add({ close: () => other.stop(true) });
    const data = join(folder, "data");
    const { status } = await check(
      ...[`--endpoints=${plain.address}`, `--listen-addr=127.0.0.1:${other.port}`],
      ...["--auto-tls", `--data-dir=${data}`],
    );
    expect(status).toBe(0);
    expect(existsSync(data)).toBe(false);
  });
});
