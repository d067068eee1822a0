// Looks up names as the gateway does. Arguments: pairs of `host NAME` or `srv NAME`. Prints
// one line of JSON for each, in the format of go-lookup/main.go.
import { createNetwork } from "../../src/commands/network.ts";

const network = createNetwork(process.env);
const args = process.argv.slice(2);
for (let i = 0; i + 1 < args.length; i += 2)
  console.log(JSON.stringify(await lookup(args[i]!, args[i + 1]!)));
process.exit(0);

async function lookup(kind: string, name: string) {
  const start = performance.now();
  const seconds = () => Math.round((performance.now() - start) / 1000);
  try {
    const found =
      kind === "host"
        ? await network.lookup(name, [])
        : (await network.resolveSrv(name, [])).map(
            (record) =>
              `${record.priority} ${record.weight} ${record.port} ${record.name.toLowerCase()}`,
          );
    return { found, notFound: false, isTimeout: false, seconds: seconds() };
  } catch (error) {
    const { code } = error as { code: string };
    const isTimeout = code === "ETIMEOUT";
    return { found: [], notFound: code === "ENOTFOUND", isTimeout, seconds: seconds() };
  }
}
