// The etcd cluster of the suite: members in network namespaces of their own, which can
// be killed, frozen and filled, and recover. Reads back what they stored.
import { join } from "node:path";
import { decode, encode } from "../support/etcd-json.ts";
import { Command, eventually, requireTool } from "../support/gateway-command.ts";
import { hostOf, type Network } from "./network.ts";

const CLIENT_PORT = 2379;
// Keys in one response when reading back; all keys of a row would make it huge.
const PAGE_KEYS = 200;

// Pre-vote is the default since etcd 3.5. Without it, a member that comes back deposes
// the leader, which would be a second fault in each row.
const TIMING = ["--heartbeat-interval=100", "--election-timeout=1000", "--pre-vote=true"];

export class Member {
  readonly host: string;
  readonly #words: readonly string[];
  #life: Command | undefined;

  constructor(
    readonly index: number,
    network: Network,
    { folder, size }: { folder: string; size: number },
  ) {
    this.host = hostOf(index);
    const peerUrl = (member: number) => `http://${hostOf(member)}:2380`;
    const all = Array.from({ length: size }, (_, i) => `m${i}=${peerUrl(i)}`);
    const clientUrl = `http://${this.host}:${CLIENT_PORT}`;
    this.#words = [
      ...[...network.inside(index), requireTool("etcd"), "--name", `m${index}`],
      ...["--data-dir", join(folder, `m${index}`), "--initial-cluster", all.join(",")],
      ...["--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl],
      ...["--listen-peer-urls", peerUrl(index), "--initial-advertise-peer-urls", peerUrl(index)],
      ...["--logger=zap", "--log-level=error", ...TIMING],
    ];
  }

  get address(): string {
    return `${this.host}:${CLIENT_PORT}`;
  }

  start(flags: readonly string[] = []): void {
    const env: Record<string, string> =
      process.arch === "arm64" ? { ETCD_UNSUPPORTED_ARCH: "arm64" } : {};
    this.#life = new Command([...this.#words, ...flags], { env });
  }

  signal(name: NodeJS.Signals): void {
    this.#life?.signal(name);
  }

  /** Sends SIGTERM, and starts it again once it has exited. */
  async restart(): Promise<void> {
    this.signal("SIGTERM");
    await this.#life?.exited();
    this.start();
  }

  /** Sends SIGKILL; resolves when the process has exited. */
  async kill(): Promise<void> {
    await this.#life?.close();
  }

  /** Posts to this member directly, not through a gateway. Throws unless the status is 200. */
  async post(path: string, body: object = {}): Promise<any> {
    const response = await fetch(`http://${this.address}${path}`, {
      method: "POST",
      body: JSON.stringify(body),
      keepalive: false,
      signal: AbortSignal.timeout(5000),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${this.address}${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  /** Resolves when the member serves a linearizable read, which needs a leader. */
  async healthy(): Promise<void> {
    await eventually(() => this.post("/v3/kv/range", { key: encode("healthy") }), `m${this.index} was healthy`, 30_000); // prettier-ignore
  }
}

export class Cluster {
  readonly members: readonly Member[];

  private constructor(members: readonly Member[]) {
    this.members = members;
  }

  static async start(network: Network, folder: string, size: number): Promise<Cluster> {
    const members = Array.from(
      { length: size },
      (_, index) => new Member(index, network, { folder, size }),
    );
    for (const member of members) member.start();
    const cluster = new Cluster(members);
    await cluster.healthy();
    return cluster;
  }

  /** The member that faults hit. Never the leader, since an election stalls etcd itself. */
  get victim(): Member {
    return this.members[0]!;
  }

  /** A member that faults spare. */
  get survivor(): Member {
    return this.members[1]!;
  }

  get addresses(): string[] {
    return this.members.map(({ address }) => address);
  }

  async healthy(): Promise<void> {
    for (const member of this.members) await member.healthy();
  }

  /** Resolves when the survivor has a leader. */
  async led(): Promise<void> {
    const leader = async () => (await this.survivor.post("/v3/maintenance/status")).leader;
    await eventually(leader, "the survivor had a leader");
  }

  /** Restarts all members with these flags. */
  async restart(flags: readonly string[]): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    for (const member of this.members) member.start(flags);
    await this.healthy();
  }

  /** Transfers the leadership to the survivor. */
  async leadBySurvivor(): Promise<void> {
    await eventually(async () => {
      const { header, leader } = await this.survivor.post("/v3/maintenance/status");
      if (header.member_id === leader) return true;

      const statuses = this.members.map((member) => member.post("/v3/maintenance/status"));
      const all = await Promise.all(statuses);
      const at = all.findIndex((status) => status.header.member_id === leader);
      await this.members[at]?.post("/v3/maintenance/transfer-leadership", {
        targetID: header.member_id,
      });
      return undefined;
    }, "the survivor led");
  }

  /** Returns the survivor's keys that begin with `prefix`, with their values in base64. */
  async readBack(prefix: string): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    const end = encode(`${prefix}\xff`);
    for (let from = prefix; ;) {
      const range = { key: encode(from), range_end: end, limit: PAGE_KEYS };
      const { kvs = [], more } = await this.survivor.post("/v3/kv/range", range);
      for (const { key, value } of kvs) found.set(decode(key), value);
      if (more !== true) return found;
      from = `${decode(kvs.at(-1).key)}\0`;
    }
  }

  /** Deletes and compacts the keys that begin with `prefix`, so that a long run stays small. */
  async deletePrefix(prefix: string): Promise<void> {
    const range = { key: encode(prefix), range_end: encode(`${prefix}\xff`) };
    const { header, deleted } = await this.survivor.post("/v3/kv/deleterange", range);
    if (deleted === undefined) return;

    const compaction = { revision: header.revision, physical: true };
    await this.survivor.post("/v3/kv/compaction", compaction);
  }

  /** Restarts the victim with a storage quota of its current size plus `moreBytes`. */
  async limitVictim(moreBytes: number): Promise<void> {
    const { dbSize } = await this.victim.post("/v3/maintenance/status");
    await this.#restartVictim([`--quota-backend-bytes=${Number(dbSize) + moreBytes}`]);
  }

  /** Puts through the survivor until the victim raises the NOSPACE alarm. */
  async fillVictim(prefix: string): Promise<void> {
    const value = Buffer.alloc(1 << 20, "filler").toString("base64");
    for (let i = 0; i < 100; i++) {
      const { alarms = [] } = await this.survivor.post("/v3/maintenance/alarm");
      if (alarms.length > 0) return;
      const put = { key: encode(`${prefix}${i}`), value };
      // etcd rejects the last one.
      await this.survivor.post("/v3/kv/put", put).catch(() => undefined);
    }
    throw new Error("no alarm after 100 MiB");
  }

  /** Frees space and disarms the alarm, as an operator would. */
  async relieveVictim(prefix: string): Promise<void> {
    await this.deletePrefix(prefix);
    await this.victim.post("/v3/maintenance/defragment");
    await eventually(async () => {
      const { alarms = [] } = await this.survivor.post("/v3/maintenance/alarm");
      for (const alarm of alarms)
        await this.survivor.post("/v3/maintenance/alarm", { ...alarm, action: "DEACTIVATE" });
      // A put under way may raise the alarm again, so a second pass confirms.
      return alarms.length === 0 || undefined;
    }, "the alarm was disarmed");
  }

  /** Restarts the victim without the quota. */
  async unlimitVictim(): Promise<void> {
    await this.#restartVictim([]);
  }

  async #restartVictim(flags: readonly string[]): Promise<void> {
    await this.victim.kill();
    this.victim.start(flags);
    await this.victim.healthy();
  }
}
