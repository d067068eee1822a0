// A hosts file for one gateway, with names that a test adds, removes and changes,
// independent of the machine's DNS and files.
import { existsSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requireTool } from "./gateway-command.ts";

/** How names resolve that are not in the hosts file. */
export type Elsewhere =
  /** They do not exist. */
  | "unknown"
  /** By DNS, which does not respond. */
  | "broken"
  /** By DNS, at port 53 of this address. */
  | { readonly nameserver: string }
  /** As these files say. */
  | { readonly resolv: string; readonly nsswitch?: string };

export class Hosts {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Creates a hosts file with these lines, in a folder that `close` removes. */
  static async create(text: string, elsewhere: Elsewhere = "unknown"): Promise<Hosts> {
    const hosts = new Hosts(await mkdtemp(join(tmpdir(), "etcd-gateway-hosts-")));
    const { resolv, nsswitch } = filesFor(elsewhere);
    hosts.#put("nsswitch.conf", nsswitch);
    hosts.#put("resolv.conf", resolv);
    hosts.write(text);
    return hosts;
  }

  /** Replaces resolv.conf, also for running gateways. */
  writeResolv(text: string): void {
    this.#put("resolv.conf", text);
  }

  /** Replaces the lines, also for running gateways. */
  write(text: string): void {
    this.#put("hosts", `127.0.0.1 localhost\n${text}\n`);
  }

  /** A command prefix for a gateway's `wrapper`, which mounts these files over those in /etc. */
  get wrapper(): string[] {
    // Without root, use a user namespace, where the system allows that.
    const asRoot = process.getuid?.() === 0 ? [] : ["--map-root-user"];
    const files = ["hosts", "nsswitch.conf", "resolv.conf"].filter((f) => existsSync(`/etc/${f}`));
    const mounts = files.map((file) => `mount --bind "$0/${file}" /etc/${file}`);
    const script = [...mounts, 'exec "$@"'].join(" && ");
    return [requireTool("unshare"), ...asRoot, "--mount", "sh", "-c", script, this.#folder];
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  #put(file: string, text: string): void {
    // Overwrites in place: the mount would not follow a replaced file.
    writeFileSync(join(this.#folder, file), text);
  }
}

function filesFor(elsewhere: Elsewhere): { resolv: string; nsswitch: string } {
  if (typeof elsewhere === "object" && "resolv" in elsewhere)
    return { nsswitch: "hosts: files dns\n", ...elsewhere };
  // An address of loopback at which no server answers, unless there is one.
  const nameserver = typeof elsewhere === "object" ? elsewhere.nameserver : "127.0.0.254";
  return {
    resolv: `nameserver ${nameserver}\noptions timeout:1 attempts:1\n`,
    nsswitch: `hosts: files${elsewhere === "unknown" ? "" : " dns"}\n`,
  };
}
