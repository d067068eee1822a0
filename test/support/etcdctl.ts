// etcdctl, run at one address: what it needs to be let in, and its answers as values.
import type { ClusterTls } from "./etcd-member.ts";
import { Command, type CommandOptions, requireTool, run } from "./gateway-command.ts";

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** One line of `member list`. */
export interface ListedMember {
  readonly id: string;
  /** Empty until it has started for the first time, as are its client URLs. */
  readonly name: string;
  readonly peerUrl: string;
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

/** Runs etcdctl at an address; what it prints and its status are the outcome. */
export function etcdctl(
  address: string,
  args: readonly string[],
  { env, ...options }: CommandOptions = {},
): Promise<Command> {
  return run([requireTool("etcdctl"), `--endpoints=${address}`, ...args], {
    ...options,
    env: { ETCDCTL_API: "3", ...env },
  });
}

/** etcdctl for one cluster. */
export class Etcdctl {
  /** What it presents; undefined before the cluster wants it. */
  credentials: Credentials | undefined;
  readonly #tls: ClusterTls | undefined;

  constructor(tls: ClusterTls | undefined) {
    this.#tls = tls;
  }

  run(address: string, args: readonly string[], options?: CommandOptions): Promise<Command> {
    const flags: string[] = [];
    if (this.#tls !== undefined) {
      const { ca, clientCert, clientKey } = this.#tls;
      flags.push(`--cacert=${ca}`, `--cert=${clientCert}`, `--key=${clientKey}`);
    }
    if (this.credentials !== undefined) {
      const { user, password } = this.credentials;
      flags.push(`--user=${user}:${password}`);
    }
    return etcdctl(address, [...flags, ...args], options);
  }

  /** What it printed; throws unless the status is 0. */
  async output(address: string, args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(address, args);
    if (status === 0) return stdout;
    throw new Error(`etcdctl ${args.join(" ")} ended with ${status}: ${stdout}${stderr}`);
  }

  /** The members as the one at this address knows them. */
  async members(address: string): Promise<ListedMember[]> {
    const text = await this.output(address, ["member", "list"]);
    return text
      .trim()
      .split("\n")
      .map((line) => {
        // Our members have one peer URL each; only client URLs may hold a comma, without a space.
        const [id, , name, peerUrl, clientUrls, isLearner] = line.split(", ");
        return {
          id: id!,
          name: name!,
          peerUrl: peerUrl!,
          clientUrls: clientUrls === "" ? [] : clientUrls!.split(","),
          isLearner: isLearner === "true",
        };
      });
  }
}
