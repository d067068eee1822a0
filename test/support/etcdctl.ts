// Runs etcdctl with the certificates and the password of a cluster, and parses its output.
import type { ClusterTls } from "./etcd-member.ts";
import { Command, type CommandOptions, requireTool, run } from "./gateway-command.ts";

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** One line of `member list`. */
export interface ListedMember {
  readonly id: string;
  /** Empty until the member has started for the first time, as is `clientUrls`. */
  readonly name: string;
  readonly peerUrl: string;
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

/** Runs etcdctl at an address; resolves with the finished command, whatever its status. */
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
  /** Undefined until the cluster has authentication. */
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

  /** Resolves with the standard output; throws unless the status is 0. */
  async output(address: string, args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(address, args);
    if (status === 0) return stdout;
    throw new Error(`etcdctl ${args.join(" ")} exited with ${status}: ${stdout}${stderr}`);
  }

  /** Returns the member list of the member at this address. */
  async members(address: string): Promise<ListedMember[]> {
    const text = await this.output(address, ["member", "list"]);
    return text
      .trim()
      .split("\n")
      .map((line) => {
        // Members have one peer URL each. Client URLs are separated by a comma without a space.
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
