// The files that scripts/release makes for Linux x64: the archive's content, its binary in a
// root with nothing but its libraries, the SBOM, and the default config file.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, copyFile, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { freePort } from "../support/free-port.ts";
import {
  Closers,
  Command,
  eventually,
  output,
  requireTool,
  run,
} from "../support/gateway-command.ts";
import { greeting, greetersOn } from "../support/greeters.ts";
import { flagNamed, parseConfigFile, startFlagNames } from "../support/flags.ts";

const RELEASE_MS = 300_000;
const NAME = `etcd-gateway-${packageJson.version}-linux-x64`;
const DEBIAN = `etcd-gateway_${packageJson.version.replace("-", "~")}-1_amd64.deb`;

let folder: string;
/** The folder of the unpacked archive. */
let unpacked: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "etcd-gateway-release-"));
  const words = [
    "scripts/release",
    "--dirty",
    "--quick",
    `--output=${folder}/release`,
    "linux-x64",
  ];
  const release = Bun.spawn(words, { stdout: "pipe", stderr: "pipe" });
  const texts = [new Response(release.stdout).text(), new Response(release.stderr).text()];
  const printed = (await Promise.all(texts)).join("");
  if ((await release.exited) !== 0) throw new Error(`scripts/release failed: ${printed}`);
  await output(["tar", "--extract", "--file", `${folder}/release/${NAME}.tar.xz`, "-C", folder]);
  unpacked = join(folder, NAME);
}, RELEASE_MS);

afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe("scripts/release", () => {
  test("makes an archive, a package, an SBOM, and their checksums", async () => {
    const files = [`${NAME}.cdx.json`, `${NAME}.tar.xz`, DEBIAN];
    expect((await readdir(join(folder, "release"))).sort()).toEqual(
      ["SHA256SUMS", ...files].sort(),
    );
    const sums = (await Bun.file(join(folder, "release/SHA256SUMS")).text()).trim().split("\n");
    expect(sums.map((line) => line.split("  ")[1]!).sort()).toEqual(files.sort());
    await output(["sha256sum", "--check", "--strict", "SHA256SUMS"], { cwd: `${folder}/release` });
  });

  test("makes an archive with the expected files, all owned by root", async () => {
    const listing = await output(["tar", "--list", "-vf", `${folder}/release/${NAME}.tar.xz`]);
    const rows = listing
      .trim()
      .split("\n")
      .map((line) => line.split(/\s+/));
    expect(new Set(rows.map(([mode, owner]) => `${mode} ${owner}`))).toEqual(
      new Set(["drwxr-xr-x 0/0", "-rw-r--r-- 0/0", "-rwxr-xr-x 0/0"]),
    );
    expect(
      rows.map((row) => row[5]!.slice(NAME.length + 1)).filter((name) => /[^/]$/.test(name)),
    ).toEqual([
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "completions/_etcd-gateway",
      "completions/etcd-gateway.bash",
      "completions/etcd-gateway.fish",
      "config.yaml",
      "copyright",
      ...(await readdir("docs")).map((file) => `docs/${file}`).toSorted(),
      "etcd-gateway",
      "etcd-gateway.1",
      "etcd-gateway.cdx.json",
      "etcd-gateway.service",
      "etcd-gateway.socket",
    ]);
  });

  test("makes an archive with the binary of scripts/build", async () => {
    expect(await sha256(join(unpacked, "etcd-gateway"))).toBe(await sha256("dist/etcd-gateway"));
  });

  test("makes a binary that runs in a root with only the libraries that it links to", async () => {
    const root = join(folder, "root");
    const binary = join(unpacked, "etcd-gateway");
    for (const path of (await output(["ldd", binary])).match(/\/\S+/g)!) {
      await mkdir(join(root, dirname(path)), { recursive: true });
      await copyFile(path, join(root, path));
      await chmod(join(root, path), 0o755);
    }
    await copyFile(binary, join(root, basename(binary)));
    // Bun aborts without /proc/self/maps, from which glibc reads the bounds of the stack.
    await mkdir(join(root, "proc"));
    const unshare = requireTool("unshare");
    // Root needs no user namespace, which some systems forbid.
    const asRoot = process.getuid!() === 0 ? [] : ["--map-root-user"];
    const enter = [unshare, ...asRoot, "--pid", "--fork", "--kill-child", "--mount-proc"];
    enter.push(`--root=${root}`, "/etcd-gateway");
    expect(await output([...enter, "version"])).toStartWith(
      `etcd-gateway ${packageJson.version}\n`,
    );
    const help = await run([...enter, "help"]);
    expect(help).toMatchObject({ status: 0, stderr: "" });
    expect(help.stdout).toContain("etcd-gateway start");

    const closers = new Closers();
    try {
      const server = greetersOn(closers, "127.0.0.1");
      const port = freePort();
      const flags = [`--endpoints=127.0.0.1:${server}`, `--listen-addr=127.0.0.1:${port}`];
      const gateway = closers.add(new Command([...enter, "start", ...flags]));
      await eventually(async () => gateway.stderr.includes("ready to proxy") || undefined, "ready");
      expect(await greeting(port)).toBe("127.0.0.1");
    } finally {
      await closers.close();
    }
  });
});

describe("the SBOM", () => {
  interface Component {
    readonly name: string;
    readonly version: string;
    readonly purl: string;
    readonly licenses: unknown[];
    readonly hashes: readonly { readonly alg: string; readonly content: string }[];
  }
  interface Sbom {
    readonly specVersion: string;
    readonly metadata: { readonly component: Component };
    readonly components: readonly Component[];
    readonly dependencies: readonly { readonly ref: string }[];
  }
  let sbom: Sbom;

  beforeAll(async () => {
    sbom = (await Bun.file(join(unpacked, "etcd-gateway.cdx.json")).json()) as Sbom;
  });

  test("describes this binary", async () => {
    const { component } = sbom.metadata;
    expect(component).toMatchObject({ name: "etcd-gateway", version: packageJson.version });
    const content = await sha256(join(unpacked, "etcd-gateway"));
    expect(component.hashes).toEqual([{ alg: "SHA-256", content }]);
  });

  test("lists Bun, and exactly the packages whose files are in the bundle", async () => {
    const { inputs } = (await bundle()).metafile!;
    const bundled = Object.keys(inputs).flatMap((path) => {
      const name = /.*node_modules\/((@[^/]+\/)?[^/]+)/.exec(path)?.[1];
      return name === undefined ? [] : [name];
    });
    expect(new Set(sbom.components.map(({ name }) => name))).toEqual(
      new Set(["@oven/bun-linux-x64", ...bundled]),
    );
    expect(`bun@${sbom.components[0]!.version}`).toBe(packageJson.packageManager);
  });

  test("has a version, a licence, a package URL and a checksum for each part", () => {
    for (const { name, version, purl, licenses, hashes } of sbom.components) {
      expect(purl).toBe(`pkg:npm/${name.replace("@", "%40")}@${version}`);
      expect(licenses).toHaveLength(1);
      expect(hashes).toEqual([
        { alg: "SHA-512", content: expect.stringMatching(/^[0-9a-f]{128}$/) },
      ]);
    }
    const refs = [sbom.metadata.component, ...sbom.components].map(({ purl }) => purl);
    expect(sbom.dependencies.map(({ ref }) => ref).sort()).toEqual(refs.sort());
  });

  function bundle() {
    return Bun.build({ entrypoints: ["src/main.ts"], target: "bun", metafile: true });
  }
});

describe("the default config file", () => {
  test("sets nothing", async () => {
    expect(parseConfigFile(await configText(), "config.yaml").size).toBe(0);
  });

  test("has every key as a comment, with its default or an example", async () => {
    const text = (await configText()).replace(/^#(?=[a-z-]+:)/gm, "");
    const expected = startFlagNames
      .filter((name) => name !== "config-file")
      .map((name) => [name, flagNamed(name).default ?? flagNamed(name).example]);
    expect(Object.fromEntries(parseConfigFile(text, "config.yaml"))).toEqual(
      Object.fromEntries(expected),
    );
  });

  test("is the one that the systemd unit names and the package installs", async () => {
    const unit = await Bun.file(join(unpacked, "etcd-gateway.service")).text();
    expect(unit).toContain(
      "/usr/bin/etcd-gateway start --config-file=/etc/etcd-gateway/config.yaml",
    );
    const info = ["dpkg-deb", "--info", join(folder, "release", DEBIAN)];
    expect(await output([...info, "conffiles"])).toBe("/etc/etcd-gateway/config.yaml\n");
    expect(await output([...info, "md5sums"])).toContain("  usr/bin/etcd-gateway\n");
  });

  function configText(): Promise<string> {
    return Bun.file(join(unpacked, "config.yaml")).text();
  }
});

async function sha256(path: string): Promise<string> {
  return new Bun.CryptoHasher("sha256").update(await Bun.file(path).bytes()).digest("hex");
}
