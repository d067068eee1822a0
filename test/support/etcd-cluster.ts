// A real etcd cluster on loopback, and etcdctl to administer it: members that crash and
// come back, join and leave, with or without TLS and authentication.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ClusterTls, EtcdMember, type MemberOptions } from "./etcd-member.ts";
import { postJson } from "./etcd-json.ts";
import { type Credentials, etcdctl, Etcdctl } from "./etcdctl.ts";
import { freePorts } from "./free-port.ts";
import { type Command, type CommandOptions, eventually } from "./gateway-command.ts";

export { type ClusterTls, etcdctl, type EtcdMember };

export interface AddOptions extends MemberOptions {
  /** True: the member joins without a vote, until `promote`. */
  readonly isLearner?: boolean;
  /** False: the member is listed, without a name and client URLs, until the caller starts it. */
  readonly isStarted?: boolean;
}

export class EtcdCluster {
  readonly #folder: string;
  readonly #tls: ClusterTls | undefined;
  readonly #etcdctl: Etcdctl;
  #members: readonly EtcdMember[] = [];
  #nextNumber = 0;

  private constructor(folder: string, tls?: ClusterTls) {
    this.#folder = folder;
    this.#tls = tls;
    this.#etcdctl = new Etcdctl(tls);
  }

  /** Starts a cluster; resolves when it is healthy. */
  static async start(
    size: number,
    tls?: ClusterTls,
    options: MemberOptions = {},
  ): Promise<EtcdCluster> {
    for (let attempt = 1; ; attempt++) {
      const folder = await mkdtemp(join(tmpdir(), "etcd-gateway-e2e-"));
      const cluster = new EtcdCluster(folder, tls);
      try {
        cluster.#members = cluster.#plan(size, options, "new");
        for (const member of cluster.members) member.start();
        await cluster.healthy();
        return cluster;
      } catch (error) {
        await cluster.close();
        if (!cluster.members.some(isPortTaken) || attempt === 5) throw error;
      }
    }
  }

  get members(): readonly EtcdMember[] {
    return this.#members;
  }

  /** The listen addresses of all members, learners included, for a gateway's --endpoints. */
  get endpoints(): string {
    return this.members.map(({ address }) => address).join(",");
  }

  /** Returns the current leader and one of its followers. For a cluster without TLS. */
  async roles(): Promise<{ leader: EtcdMember; follower: EtcdMember }> {
    return await eventually(async () => {
      const areLeaders = await Promise.all(this.members.map(isLeader));
      const leader = this.members[areLeaders.indexOf(true)];
      const follower = this.members[areLeaders.indexOf(false)];
      return leader && follower && { leader, follower };
    }, "one member was the leader");
  }

  /** Resolves when each of these members has a leader, and every voter lists it with its client URLs. */
  async healthy(members: readonly EtcdMember[] = this.members): Promise<void> {
    for (const member of members) {
      await eventually(
        async () => {
          if (!member.isRunning) throw new Error(`${member.name} has ended: ${member.log}`);
          return (await member.isHealthy()) ? true : undefined;
        },
        `${member.name} was healthy`,
        30_000,
      );
    }
    const isListedBy = async ({ address }: EtcdMember) => {
      const names = (await this.#etcdctl.members(address)).map(({ name }) => name);
      return members.every(({ name }) => names.includes(name)) ? true : undefined;
    };
    for (const voter of votersOf(this.members))
      await eventually(() => isListedBy(voter), `${voter.name} listed the healthy members`);
  }

  /** Adds a member; resolves when it is healthy and listed by all others. */
  async add(options: AddOptions = {}): Promise<EtcdMember> {
    const { isLearner = false, isStarted = true } = options;
    for (let attempt = 1; ; attempt++) {
      const [member] = this.#plan(1, options, "existing") as [EtcdMember];
      const { name, peerUrl } = member;
      const kind = isLearner ? ["--learner"] : [];
      await this.#administer(["member", "add", name, `--peer-urls=${peerUrl}`, ...kind]);
      member.isLearner = isLearner;
      this.#members = [...this.members, member];
      if (!isStarted) return member;

      try {
        member.start();
        await this.healthy([member]);
        return member;
      } catch (error) {
        if (!isPortTaken(member) || attempt === 5) throw error;
        await this.remove(member);
      }
    }
  }

  /** Promotes a learner to a voter, once it has caught up with the leader. */
  async promote(member: EtcdMember): Promise<void> {
    const id = await this.#idOf(member);
    await eventually(
      () => this.#administer(["member", "promote", id]),
      `${member.name} was promoted`,
    );
    member.isLearner = false;
    await this.healthy([member]);
  }

  /** Removes a member for good; resolves when its process has exited because of it. */
  async remove(member: EtcdMember): Promise<void> {
    const others = this.members.filter((other) => other !== member);
    // Through another member, because this one may exit before it responds.
    await this.#administer(["member", "remove", await this.#idOf(member)], others);
    this.#members = others;
    try {
      await member.exited();
    } finally {
      await member.kill();
    }
  }

  /** Enables authentication, for which etcd requires a user root; `etcdctl` uses the password. */
  async enableAuth(credentials: Credentials): Promise<void> {
    const { user, password } = credentials;
    await this.#administer(["user", "add", `${user}:${password}`]);
    await this.#administer(["user", "grant-role", user, "root"]);
    await this.#administer(["auth", "enable"]);
    this.#etcdctl.credentials = credentials;
  }

  /** Runs etcdctl at an address, with the cluster's certificates and password. */
  etcdctl(address: string, args: readonly string[], options?: CommandOptions): Promise<Command> {
    return this.#etcdctl.run(address, args, options);
  }

  /** Kills all members and removes their data. May be called twice. */
  async close(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Creates members that are not part of a cluster yet, with ports that were just free. */
  #plan(count: number, options: MemberOptions, state: "new" | "existing"): EtcdMember[] {
    const ports = freePorts(count * 2);
    const plans = Array.from({ length: count }, (_, i) => ({
      ...options,
      name: `member${this.#nextNumber++}`,
      port: ports[i]!,
      peerUrl: `http://127.0.0.1:${ports[count + i]!}`,
      folder: this.#folder,
      tls: this.#tls,
    }));
    const all = [...this.members, ...plans].map(({ name, peerUrl }) => `${name}=${peerUrl}`);
    const flags = ["--initial-cluster", all.join(","), "--initial-cluster-state", state];
    return plans.map((plan) => new EtcdMember(plan, flags));
  }

  /** Runs etcdctl at a running voter; throws if it fails. */
  #administer(args: readonly string[], members = this.members): Promise<string> {
    const [voter] = votersOf(members);
    if (voter === undefined) throw new Error("the cluster has no running voter");
    return this.#etcdctl.output(voter.address, args);
  }

  async #idOf({ name, peerUrl }: EtcdMember): Promise<string> {
    const [voter] = votersOf(this.members);
    const listed = voter === undefined ? [] : await this.#etcdctl.members(voter.address);
    // By the peer URL, because a member has no name before its first start.
    const found = listed.find((other) => other.peerUrl === peerUrl);
    if (found === undefined) throw new Error(`${name} is not on the cluster's list`);
    return found.id;
  }
}

async function isLeader({ port }: EtcdMember): Promise<boolean> {
  const { body } = await postJson(port, "/v3/maintenance/status");
  return body.leader === body.header.member_id;
}

function votersOf(members: readonly EtcdMember[]): EtcdMember[] {
  return members.filter(({ isRunning, isLearner }) => isRunning && !isLearner);
}

// Another process may take a port after freePorts() found it free.
function isPortTaken({ log }: EtcdMember): boolean {
  return /address already in use/.test(log);
}
