// The gRPC proxy's flag table: etcd's flags with etcd's defaults, values and refusals.
import { describe, expect, test } from "bun:test";
import { type Flag, fixedFlags } from "../../src/cli/flag.ts";
import { gatewayFlags } from "../../src/commands/gateway-flags.ts";
import { grpcProxyFlags } from "../../src/commands/grpc-proxy-flags.ts";
import { parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import { UsageError } from "../../src/core/usage-error.ts";
import { output, requireTool } from "../support/gateway-command.ts";
import { readProxyConfig as read } from "../support/grpc-proxy-flags.ts";
import { fuzz, seed } from "../support/random-input.ts";

const rows: [name: string, flag: Flag<unknown>][] = Object.entries(grpcProxyFlags);
const names = rows.map(([name]) => name);
const flagNamed = (name: string) => rows.find(([other]) => other === name)![1];

/** The flags of etcd's main branch at c34dc7ee, with their defaults; "": not set. */
const ETCD_FLAGS: readonly [name: string, initial: string][] = [
  ["listen-addr", "127.0.0.1:23790"],
  ["discovery-srv", ""],
  ["discovery-srv-name", ""],
  ["metrics-addr", ""],
  ["insecure-discovery", "false"],
  ["endpoints", "127.0.0.1:2379"],
  ["endpoints-auto-sync-interval", "0s"],
  // Not etcd's 0 and 20s, with which a member that hangs holds its calls.
  ["dial-keepalive-time", "10s"],
  ["dial-keepalive-timeout", "5s"],
  ["permit-without-stream", "false"],
  // Not etcd's 127.0.0.1:23790, to which a client of another machine cannot connect.
  ["advertise-client-url", ""],
  ["resolver-prefix", ""],
  ["resolver-ttl", "0"],
  ["namespace", ""],
  ["enable-pprof", "false"],
  ["data-dir", "default.proxy"],
  ["max-send-bytes", "1572864"],
  ["max-recv-bytes", "2147483647"],
  ["grpc-keepalive-min-time", "5s"],
  ["grpc-keepalive-interval", "2h"],
  ["grpc-keepalive-timeout", "20s"],
  ["cert", ""],
  ["key", ""],
  ["cacert", ""],
  ["insecure-skip-tls-verify", "false"],
  ["cert-file", ""],
  ["key-file", ""],
  ["trusted-ca-file", ""],
  ["listen-cipher-suites", ""],
  ["auto-tls", "false"],
  ["client-crl-file", ""],
  ["self-signed-cert-validity", "1"],
  ["tls-min-version", "TLS1.2"],
  ["tls-max-version", ""],
  ["experimental-serializable-ordering", "false"],
  ["experimental-leasing-prefix", ""],
  ["experimental-enable-grpc-logging", "false"],
  ["debug", "false"],
  ["max-concurrent-streams", "4294967295"],
];

/** Returns the flags in the help of the etcd of this machine: `--name type   text (default x)`. */
async function flagsOfEtcd() {
  const help = await output([requireTool("etcd"), "grpc-proxy", "start", "--help"]);
  const lines = help.matchAll(
    /^ +--([\w-]+)(?: (string|strings|int|uint|uint32|duration))? {2,}(.*)$/gm,
  );
  return [...lines].map(([, name, type, text]) => ({
    name: name!,
    isSwitch: type === undefined,
    initial: / \(default (\S+)\)$/.exec(text!)?.[1]?.replace(/^["[](.*)["\]]$/, "$1"),
  }));
}

describe("grpcProxyFlags", () => {
  test.each(ETCD_FLAGS)("has etcd's --%s with the default %p", (name, initial) => {
    expect(names).toContain(name);
    expect(flagNamed(name).default ?? "").toBe(initial);
  });

  test("has each flag in the help of etcd, of the same kind and with the same default", async () => {
    const flags = await flagsOfEtcd();
    expect(flags.length).toBeGreaterThanOrEqual(28);
    for (const { name, isSwitch, initial } of flags) {
      expect(ETCD_FLAGS.map(([known]) => known)).toContain(name);
      const { value, default: ours } = flagNamed(name);
      expect([name, value === ""]).toEqual([name, isSwitch]);
      if (initial !== undefined && name !== "advertise-client-url")
        expect([name, ours]).toEqual([name, initial]);
    }
  });

  test("accepts the example of every flag", () => {
    for (const [, { parse, example }] of rows) expect(() => parse(example)).not.toThrow();
  });

  test("names only flags of its own in rules", () => {
    for (const [, { requires = [], together, noDefaultWith }] of rows)
      for (const name of [...requires, together, noDefaultWith])
        if (name !== undefined) expect(names).toContain(name);
  });

  test("fixes either all flags of a section or none", () => {
    const isFixedBySection = new Map<string, boolean>();
    for (const [, { section, isFixed = false }] of rows) {
      if (section === undefined) continue;
      expect(isFixedBySection.get(section) ?? isFixed).toBe(isFixed);
      isFixedBySection.set(section, isFixed);
    }
    expect(fixedFlags(grpcProxyFlags)).toContain("namespace-strict");
  });

  test("shares the gateway's name of a flag only where both are of the same kind", () => {
    const kind = ({ value, repeatable, parse }: Flag<unknown>) => [
      value === "",
      value === "FILE",
      repeatable,
      parse.choices,
    ];
    for (const [name, flag] of Object.entries<Flag<unknown>>(gatewayFlags))
      if (names.includes(name)) expect([name, kind(flagNamed(name))]).toEqual([name, kind(flag)]);
  });

  test.each(names)(
    `--%s parses random text, or throws a RangeError (FUZZ_SEED=${seed})`,
    (name) => {
      const { parse, example, default: fallback = example } = flagNamed(name);
      const tokens = [
        ..."0123456789azTLS.:-_,[]%/ ",
        "://",
        "https",
        "unix",
        "true",
        "ms",
        "TLS1.",
      ];
      fuzz(500, { valid: [example, fallback], tokens }, (text) => {
        try {
          parse(text);
        } catch (error) {
          if ((error as Error).constructor !== RangeError) throw error;
          expect((error as Error).message).not.toMatch(/call stack|memory|Invalid|^$/);
        }
      });
    },
  );
});

describe("readConfig() with grpcProxyFlags", () => {
  test("gives etcd's defaults when nothing is set", () => {
    const { config, warnings } = read([]);
    expect(warnings).toEqual([]);
    expect(config).toMatchObject({
      endpoints: [parseStaticEndpoint("127.0.0.1:2379")],
      tls: {
        trustedCaFile: undefined,
        certFile: undefined,
        keyFile: undefined,
        insecureSkipVerify: false,
      },
      listen: { host: "127.0.0.1", port: 23790 },
      listenTls: {
        certFile: undefined,
        keyFile: undefined,
        trustedCaFile: undefined,
        clientCrlFile: undefined,
        cipherSuites: [],
        minVersion: "TLS1.2",
        maxVersion: undefined,
        isAuto: false,
        selfSignedValidityYears: 1,
        dataDir: "default.proxy",
      },
      maxConcurrentStreams: 2 ** 32 - 1,
      clientPings: { minTimeMs: 5000, intervalMs: 7_200_000, timeoutMs: 20_000 },
      dialPings: { timeMs: 10_000, timeoutMs: 5000, permitWithoutStream: false },
      messages: { maxSendBytes: 1.5 * 1024 * 1024, maxRecvBytes: 2 ** 31 - 1 },
      advertiseClientUrl: undefined,
      registration: undefined,
      namespace: undefined,
      credentials: undefined,
      hasSerializableOrdering: false,
      hasMessageLog: false,
      metrics: undefined,
      isDebug: false,
    });
  });

  test("reads the line with which etcd's end-to-end suite starts a proxy", () => {
    const args = [
      ...["--listen-addr", "localhost:20003", "--endpoints", "http://localhost:20000"],
      ...["--advertise-client-url", "", "--data-dir", "/tmp/proxy"],
      ...["--metrics-addr", "http://localhost:20004", "--listen-cipher-suites", ""],
      ...["--cert", "c", "--key", "k", "--cacert", "ca", "--client-crl-file", "crl"],
    ];
    const { config, warnings } = read(args);
    expect(config).toMatchObject({
      listen: { host: "localhost", port: 20003 },
      endpoints: [{ address: { host: "localhost", port: 20000 }, scheme: "http" }],
      advertiseClientUrl: "",
      metrics: { host: "localhost", port: 20004 },
      listenTls: { dataDir: "/tmp/proxy", clientCrlFile: "crl", cipherSuites: [] },
      tls: { certFile: "c", keyFile: "k", trustedCaFile: "ca" },
    });
    expect(warnings).toEqual([
      "--client-crl-file has no effect without --trusted-ca-file",
      "--data-dir has no effect without --auto-tls",
    ]);
  });

  test("reads endpoints of mixed schemes, and Unix sockets", () => {
    const text = "a:1,http://b:2,https://c:3,unix://localhost:m0,unixs:///run/m1";
    const { endpoints } = read(["--endpoints", text]).config;
    expect(endpoints.map(({ scheme, unixPath }) => [scheme, unixPath])).toEqual([
      [undefined, undefined],
      ["http", undefined],
      ["https", undefined],
      [undefined, "localhost:m0"],
      ["https", "/run/m1"],
    ]);
  });

  test("tells an empty --advertise-client-url from none, also in a config file", () => {
    expect(read(["--advertise-client-url="]).config.advertiseClientUrl).toBe("");
    const file = "advertise-client-url: ''\n";
    expect(read(["--config-file=/proxy.yaml"], { file }).config.advertiseClientUrl).toBe("");
    const environment = { ETCD_GATEWAY_ADVERTISE_CLIENT_URL: "" };
    expect(read([], { environment }).config.advertiseClientUrl).toBeUndefined();
  });

  test("opens the sections of a registration, a namespace and credentials", () => {
    const { config } = read([
      ...["--resolver-prefix=___grpc", "--resolver-ttl=60"],
      ...["--namespace=a/", "--namespace-strict"],
      ...["--user=proxy", "--password-file=/secret"],
    ]);
    expect(config).toMatchObject({
      registration: { prefix: "___grpc", ttlSeconds: 60 },
      namespace: { prefix: "a/", isStrict: true },
      credentials: { user: "proxy", password: undefined, passwordFile: "/secret" },
    });
  });

  test.each<[args: string[], part: object]>([
    [["--max-send-bytes=0"], { messages: { maxSendBytes: 2 ** 21, maxRecvBytes: 2 ** 31 - 1 } }],
    [["--max-recv-bytes=0"], { messages: { maxRecvBytes: 2 ** 31 - 1 } }],
    [["--max-recv-bytes=9223372036854775807"], { messages: { maxRecvBytes: 2 ** 32 - 1 } }],
    [["--max-concurrent-streams=0"], { maxConcurrentStreams: 2 ** 32 - 1 }],
    [["--max-concurrent-streams=7"], { maxConcurrentStreams: 7 }],
    [["--dial-keepalive-time=5s"], { dialPings: { timeMs: 10_000 } }],
    [["--dial-keepalive-time=30s"], { dialPings: { timeMs: 30_000 } }],
    [["--dial-keepalive-timeout=0"], { dialPings: { timeoutMs: 20_000 } }],
    [["--grpc-keepalive-min-time=0s"], { clientPings: { minTimeMs: 300_000 } }],
    [["--grpc-keepalive-interval=0"], { clientPings: { intervalMs: 0 } }],
    [["--grpc-keepalive-interval=1ms"], { clientPings: { intervalMs: 1000 } }],
    [["--grpc-keepalive-timeout=0"], { clientPings: { timeoutMs: 20_000 } }],
    [["--tls-min-version="], { listenTls: { minVersion: "TLS1.2" } }],
    [["--tls-max-version="], { listenTls: { maxVersion: undefined } }],
    [["--metrics-addr=127.0.0.1:9"], { metrics: { host: "127.0.0.1", port: 9 } }],
    [["--metrics-addr=http://[::1]:9/metrics"], { metrics: { host: "::1", port: 9 } }],
    [["--metrics-addr=HTTP://:9"], { metrics: { host: "", port: 9 } }],
    [
      ["--listen-cipher-suites=TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "--listen-cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA"],
      { listenTls: { cipherSuites: ["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "TLS_RSA_WITH_AES_128_CBC_SHA"] } },
    ],
  ])("takes %p as gRPC and etcd do", (args, part) => {
    expect(read(args).config).toMatchObject(part);
  }); // prettier-ignore

  test.each<[args: string[], message: string]>([
    [["--resolver-prefix=p"], 'Cannot use --resolver-prefix "p": invalid resolver-ttl 0'],
    [["--resolver-prefix=p", "--resolver-ttl=-1"], 'Cannot use --resolver-prefix "p": invalid resolver-ttl -1'],
    [["--resolver-prefix=p", "--advertise-client-url="], 'Cannot use --resolver-prefix "p": invalid resolver-ttl 0'],
    [["--resolver-ttl=5"], 'Cannot use --resolver-ttl "5": invalid resolver-prefix ""'],
    [["--resolver-prefix=p", "--resolver-ttl=5", "--advertise-client-url="], 'Cannot use --advertise-client-url "": invalid advertise-client-url ""'],
    [["--max-send-bytes=11", "--max-recv-bytes=10"], 'Cannot use --max-send-bytes "11": gRPC message recv limit (10 bytes) must be greater than send limit (11 bytes)'],
    [["--auto-tls", "--self-signed-cert-validity=0"], 'Cannot use --self-signed-cert-validity "0": selfSignedCertValidity is invalid,it should be greater than 0'],
    [["--tls-min-version=x"], 'Cannot parse --tls-min-version "x": tls-min-version is invalid: unexpected TLS version "x" (must be one of: TLS1.2, TLS1.3), for example "TLS1.3"'],
    [["--tls-max-version=TLS1.1"], 'Cannot parse --tls-max-version "TLS1.1": tls-max-version is invalid: unexpected TLS version "TLS1.1" (must be one of: TLS1.2, TLS1.3), for example "TLS1.3"'],
    [["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"], 'Cannot use --tls-min-version "TLS1.3": min version (TLS1.3) is greater than max version (TLS1.2)'],
    [["--tls-min-version=TLS1.3", "--listen-cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA"], 'Cannot use --listen-cipher-suites "TLS_RSA_WITH_AES_128_CBC_SHA": cipher suites cannot be configured when only TLS1.3 is enabled'],
    [["--listen-cipher-suites=AES"], 'Cannot parse --listen-cipher-suites "AES": unexpected TLS cipher suite "AES", for example "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"'],
    [["--auto-tls", "--listen-cipher-suites=TLS_RSA_WITH_RC4_128_SHA"], 'Cannot parse --listen-cipher-suites "TLS_RSA_WITH_RC4_128_SHA": cipher suite "TLS_RSA_WITH_RC4_128_SHA" is not supported'],
    [["--endpoints=htps://h:1"], 'Cannot parse --endpoints "htps://h:1": scheme "htps" is not one of http, https, unix and unixs'],
    [["--experimental-leasing-prefix=p"], 'Cannot use --experimental-leasing-prefix "p": leasing is not supported, since etcd\'s own has open correctness faults; remove the flag'],
    [["--cert-file=c"], 'Cannot use --cert-file "c" alone: --key-file is missing'],
    [["--trusted-ca-file=c"], 'Cannot use --trusted-ca-file "c" alone: --cert-file is missing'],
    [["--cert=c"], 'Cannot use --cert "c" alone: --key is missing'],
    [["--user=u"], 'Cannot use --user "u": --password-file or --password is missing'],
    [["--password=hush"], "Cannot use --password: --user is missing"],
    [["--password-file=f"], 'Cannot use --password-file "f": --user is missing'],
    [["--user=u", "--password=hush", "--password-file=f"], "Cannot use --password: --password-file is set too; set one of them"],
    [["--metrics-addr=https://h:1"], 'Cannot parse --metrics-addr "https://h:1": https is not served; http://HOST:PORT and HOST:PORT are, for example "http://127.0.0.1:9379"'],
    [["--metrics-addr=unix:///run/m"], 'Cannot parse --metrics-addr "unix:///run/m": unix is not served'],
    [["--metrics-addr=http://127.0.0.1:23790"], 'Cannot use --metrics-addr "http://127.0.0.1:23790": it is --listen-addr, where clients connect; choose another port'],
    [["--endpoints=h"], 'Cannot parse --endpoints "h": missing port'],
    [["--max-send-bytes=-1"], 'Cannot parse --max-send-bytes "-1": not a whole number of bytes'],
    [["--max-concurrent-streams=4294967296"], 'Cannot parse --max-concurrent-streams "4294967296": not a whole number from 0 to 4294967295'],
    [["--auto-tls=x"], 'Cannot parse --auto-tls "x": neither true nor false'],
  ])("refuses %p in etcd's words, where etcd has some", (args, message) => {
    expect(() => read(args)).toThrow(UsageError);
    expect(() => read(args)).toThrow(message);
  }); // prettier-ignore

  test.each<[args: string[], warnings: string[]]>([
    [["--enable-pprof"], ["--enable-pprof has no effect: this program has no Go profiles"]],
    [["--enable-pprof=false"], []],
    [
      ["--insecure-skip-tls-verify"],
      [
        "--insecure-skip-tls-verify was given, this grpc proxy process skips authentication of etcd server TLS certificates. This option should be enabled only for testing purposes.",
      ],
    ],
    [
      ["--auto-tls", "--cert-file=c", "--key-file=k"],
      ["--auto-tls has no effect with --cert-file"],
    ],
    [["--cacert=ca"], []],
    [["--namespace-strict"], ["--namespace-strict has no effect without --namespace"]],
    [
      ["--tls-min-version=TLS1.3"],
      ["--tls-min-version has no effect without --cert-file or --auto-tls"],
    ],
    [["--user=u", "--password=p"], []],
  ])("of %p warns %p", (args, warnings) => {
    expect(read(args).warnings).toEqual(warnings);
  });

  test("keeps numbers of bytes, seconds and years from a config file without quotes", () => {
    const file = "max-send-bytes: 1048576\nself-signed-cert-validity: 2\nresolver-ttl: 0\n";
    expect(read(["--config-file=/proxy.yaml"], { file }).config).toMatchObject({
      messages: { maxSendBytes: 1_048_576 },
      listenTls: { selfSignedValidityYears: 2 },
    });
    const quoted = 'max-send-bytes: "1048576"\n';
    expect(() => read(["--config-file=/proxy.yaml"], { file: quoted })).toThrow(
      "a text, not a whole number without quotes",
    );
  });
});
