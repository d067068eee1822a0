// Members whose tokens expire after seconds instead of minutes.
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EtcdClient } from "../../support/etcd-client.ts";
import { Auth, type Rpc } from "../../support/etcd-rpcs.ts";
import type { Message } from "../../support/protobuf.ts";
import type { Cluster } from "../cluster.ts";

/** Restarts the members and enables authentication. `ttl`: of a token, such as `3s`. */
export async function withJwt(cluster: Cluster, ttl: string) {
  const folder = await mkdtemp(join(tmpdir(), "etcd-gateway-jwt-"));
  const { publicKey, privateKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
  const [publicFile, privateFile] = [join(folder, "public.pem"), join(folder, "private.pem")];
  await writeFile(publicFile, publicKey);
  await writeFile(privateFile, privateKey);
  const token = `jwt,pub-key=${publicFile},priv-key=${privateFile},sign-method=RS256,ttl=${ttl}`;
  await cluster.restart([`--auth-token=${token}`]);

  const login = { name: "root", password: "root" };
  const direct = async (rpc: Rpc<Message<any>, Message<any>>, request: object, auth = false) => {
    const client = await EtcdClient.connect(cluster.survivor.address);
    try {
      if (auth) client.token = (await client.call(Auth.Authenticate, login)).token;
      await client.call(rpc, request);
    } finally {
      client.close();
    }
  };
  await direct(Auth.UserAdd, login);
  await direct(Auth.RoleAdd, { name: "root" }).catch(() => undefined);
  await direct(Auth.UserGrantRole, { user: "root", role: "root" });
  await direct(Auth.Enable, {});
  const remove = async () => {
    await direct(Auth.Disable, {}, true);
    await direct(Auth.UserDelete, { name: "root" });
    await cluster.restart([]);
    await rm(folder, { recursive: true });
  };
  return { login, remove };
}
