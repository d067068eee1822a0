// The gRPC proxy's flags, read as its command reads them, except for the password's file.
import { parseArgv } from "../../src/cli/parse-argv.ts";
import * as config from "../../src/cli/read-config.ts";
import { grpcProxyFlags } from "../../src/commands/grpc-proxy-flags.ts";

/** Reads a configuration from arguments, and from variables and a config file at /proxy.yaml. */
export function readProxyConfig(
  args: readonly string[],
  { environment = {}, file = "" }: { environment?: config.Environment; file?: string } = {},
) {
  return config.readConfig(grpcProxyFlags, {
    given: parseArgv(args, grpcProxyFlags).given,
    environment,
    readFile: () => file,
  });
}
