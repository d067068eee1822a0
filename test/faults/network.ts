// The suite's own network, inside the namespaces that scripts/faults unshared:
// a switch, the gateways and clients beside it, and one namespace a member at
// the end of a cable. Nothing here is seen by, or touches, the machine's own.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { output, requireTool } from "../support/gateway-command.ts";
import { Wire } from "./wire.ts";

/** Where the name server of the rows about DNS is. */
export const DNS_HOST = "10.77.0.53";
/** An address on the switch's network that nobody has. */
export const NOBODY_HOST = "10.77.0.99";

const SWITCH = "switch";
// Where a cable is plugged in while a wire lies between it and the switch.
const DETOUR = "detour";
const NOBODY_MAC = "02:00:00:00:00:99";

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
      ...[NOBODY_HOST, DNS_HOST].map((host) => neighbour(host, NOBODY_MAC, SWITCH)),
    ]);
    for (const member of network.#members()) await network.#addMember(member);
    return network;
  }

  /** What starts a program in a member's namespace: put before its words. */
  inside(member: number): string[] {
    return [requireTool("nsenter"), `--net=${join(this.#folder, `net${member}`)}`];
  }

  /** The cable is out of the switch: packets vanish both ways, and neither end is told. */
  async unplug(member: number): Promise<void> {
    await ip([`link set ${portOf(member)} nomaster`]);
  }

  async plug(member: number): Promise<void> {
    await ip([`link set ${portOf(member)} master ${SWITCH}`]);
  }

  /** The port is dark: as after a power cut, what the member's kernel would still say is lost. */
  async darken(member: number): Promise<void> {
    await ip([`link set ${portOf(member)} down`]);
  }

  async light(member: number): Promise<void> {
    await ip([`link set ${portOf(member)} up`]);
  }

  /** The member and its peers send each other's packets to nobody; clients reach it as before. */
  async isolateFromPeers(member: number): Promise<void> {
    await this.#addressPeers(member, () => NOBODY_MAC);
  }

  async rejoinPeers(member: number): Promise<void> {
    await this.#addressPeers(member, macOf);
  }

  /** A wire that can harm packets, between the member's cable and the switch, until it is closed. */
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

  /** Whether packets to DNS_HOST reach this machine's name server, or nobody. */
  async serveDns(isServed: boolean): Promise<void> {
    await ip([`addr ${isServed ? "add" : "del"} ${DNS_HOST}/32 dev lo`]);
  }

  async #addMember(member: number): Promise<void> {
    const file = join(this.#folder, `net${member}`);
    await writeFile(file, "");
    // A namespace that lasts as long as this file is mounted, whoever runs in it.
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

// Nobody asks for anybody's address: an ARP question without an answer would
// tell a sender within seconds (EHOSTUNREACH) what a router's silence does not.
function neighbour(host: string, mac: string, device: string): string {
  return `neigh replace ${host} lladdr ${mac} dev ${device} nud permanent`;
}

async function ip(lines: readonly string[], prefix: readonly string[] = []): Promise<void> {
  const input = `${lines.join("\n")}\n`;
  await output([...prefix, requireTool("ip"), "-batch", "-"], { input });
}
