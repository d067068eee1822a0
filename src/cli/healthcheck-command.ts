// `healthcheck`: whether the running gateway serves, told by the exit status alone.
import { ask, adminAddress, noAnswer, notAGateway } from "./ask-gateway.ts";
import { type ConfigSource, loadConfig } from "./load-config.ts";

/**
 * Resolves with 0 if an endpoint is up and the gateway is not draining, else
 * with 1; then it says why.
 *
 * @throws {StartError} if the config file cannot be read.
 * @throws {UsageError} if nothing says where to ask.
 */
export async function healthcheck(
  input: ConfigSource,
  printError: (text: string) => void,
): Promise<number> {
  const address = adminAddress(await loadConfig(input));
  try {
    const { status, body } = await ask(address, "/readyz");
    if (status === 200 && body === "ok\n") return 0;
    if (status !== 503) throw notAGateway();
    printError(
      `etcd-gateway: not ready: ${JSON.stringify(body.trim().slice(0, 200)).slice(1, -1)}\n`,
    );
  } catch (error) {
    printError(`etcd-gateway: ${noAnswer(address, error)}\n`);
  }
  return 1;
}
