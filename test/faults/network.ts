// The network of the suite, inside the namespaces of scripts/faults: a switch, to which
// the gateways and clients are attached directly, and each member's own namespace by a
// cable. It is isolated from the machine's own network.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { output, requireTool } from "../support/gateway-command.ts";
import { Wire } from "./wire.ts";

/** The address of the DNS server in the rows about DNS. */
export const DNS_HOST = "10.77.0.53";
/** An address of the network that no machine has. */
export const UNUSED_HOST = "10.77.0.99";

const SWITCH = "switch";
// The bridge that a cable is plugged into while a wire lies between it and the switch.
const DETOUR = "detour";
const UNUSED_MAC = "02:00:00:00:00:99";

export const hostOf = (member: number) => `10.77.0.${11 + member}`;
const macOf = (member: number) => `02:00:00:00:00:${11 + member}`;
const portOf = (member: number) => `port${member}`;

export class Network {
  readonly #folder: string;
  readonly #size: number;

  private constructor(folder: string, size: number) {
    this.#folder = folder;
    this.#size = size;
  }

  static async create(folder: string, size: number): Promise<Network> {
    const network = new Network(folder, size);
    await ip([
      "link set lo up",
      `link add ${SWITCH} address 02:00:00:00:00:01 type bridge`,
      `addr add 10.77.0.1/24 dev ${SWITCH}`,
      `link set ${SWITCH} up`,
      `link add ${DETOUR} type bridge`,
      `link set ${DETOUR} up`,
      ...[UNUSED_HOST, DNS_HOST].map((host) => neighbour(host, UNUSED_MAC, SWITCH)),
    ]);
    for (const member of network.#members()) await network.#addMember(member);
    return network;
  }

  /** Returns the command prefix that runs a program in a member's namespace. */
  inside(member: number): string[] {
    return [requireTool("nsenter"), `--net=${join(this.#folder, `net${member}`)}`];
  }

  /** Unplugs the cable from the switch: packets are lost both ways, and neither end notices. */
  async unplug(member: number): Promise<void> {
    await ip([`link set ${portOf(member)} nomaster`]);
  }

  async plug(member: number): Promise<void> {
    await ip([`link set ${portOf(member)} master ${SWITCH}`]);
  }

  /** Takes the port down, as a power cut does: even what the member's kernel still sends is lost. */
  async setLinkDown(member: number): Promise<void> {
    await ip([`link set ${portOf(member)} down`]);
  }

  async setLinkUp(member: number): Promise<void> {
    await ip([`link set ${portOf(member)} up`]);
  }

  /** Stops packets between the member and its peers. Clients still reach the member. */
  async isolateFromPeers(member: number): Promise<void> {
    await this.#addressPeers(member, () => UNUSED_MAC);
  }

  async rejoinPeers(member: number): Promise<void> {
    await this.#addressPeers(member, macOf);
  }

  /** Inserts a wire that can harm packets between the member's cable and the switch. */
  async wire(member: number): Promise<Wire> {
    const wire = await Wire.open();
    try {
      await ip([
        `link set ${wire.ends[0]} master ${SWITCH} up`,
        `link set ${wire.ends[1]} master ${DETOUR} up`,
        `link set ${portOf(member)} master ${DETOUR}`,
      ]);
    } catch (error) {
      await wire.close();
      throw error;
    }
    wire.onClose = () => this.plug(member);
    return wire;
  }

  /** Assigns DNS_HOST to this namespace, where the DNS server listens, or removes it. */
  async serveDns(isServed: boolean): Promise<void> {
    await ip([`addr ${isServed ? "add" : "del"} ${DNS_HOST}/32 dev lo`]);
  }

  async #addMember(member: number): Promise<void> {
    const file = join(this.#folder, `net${member}`);
    await writeFile(file, "");
    // The namespace exists while this file is mounted, even without a process in it.
    await output([requireTool("unshare"), `--net=${file}`, "true"]);
    const others = this.#members().filter((other) => other !== member);

    await ip(
      [
        "link set lo up",
        `link add eth0 address ${macOf(member)} type veth peer name ${portOf(member)} netns ${process.pid}`,
        `addr add ${hostOf(member)}/24 dev eth0`,
        "link set eth0 up",
        neighbour("10.77.0.1", "02:00:00:00:00:01", "eth0"),
        ...others.map((other) => neighbour(hostOf(other), macOf(other), "eth0")),
      ],
      this.inside(member),
    );
    await ip([
      `link set ${portOf(member)} master ${SWITCH} up`,
      neighbour(hostOf(member), macOf(member), SWITCH),
    ]);
  }

  async #addressPeers(member: number, mac: (member: number) => string): Promise<void> {
    const others = this.#members().filter((other) => other !== member);
    const toOthers = others.map((other) => neighbour(hostOf(other), mac(other), "eth0"));
    await ip(toOthers, this.inside(member));
    for (const other of others)
      await ip([neighbour(hostOf(member), mac(member), "eth0")], this.inside(other));
  }

  #members(): number[] {
    return Array.from({ length: this.#size }, (_, member) => member);
  }
}

// Returns the command for a static ARP entry. With ARP, a sender would get EHOSTUNREACH
// within seconds when a member is gone; with a router in between, it gets nothing.
function neighbour(host: string, mac: string, device: string): string {
  return `neigh replace ${host} lladdr ${mac} dev ${device} nud permanent`;
}

async function ip(lines: readonly string[], prefix: readonly string[] = []): Promise<void> {
  const input = `${lines.join("\n")}\n`;
  await output([...prefix, requireTool("ip"), "-batch", "-"], { input });
}
