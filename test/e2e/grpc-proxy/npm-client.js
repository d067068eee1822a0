// Uses the npm package etcd3 at an endpoint, from the folder where it is installed: one line
// "ok CASE" for each case that passed. After "halfway", the test kills a member and puts "stop".
import { createRequire } from "node:module";
import { strict as assert } from "node:assert";

const [address, folder] = process.argv.slice(2);
const { Etcd3, EtcdLeaseInvalidError } = createRequire(`${folder}/package.json`)("etcd3");
const client = new Etcd3({ hosts: `http://${address}` });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const cases = {
  async kv() {
    for (let i = 0; i < 10; i++) await client.put(`npm/kv/${i}`).value(`${i}`);
    assert.equal(await client.get("npm/kv/3").string(), "3");
    assert.equal(Object.keys(await client.getAll().prefix("npm/kv/").strings()).length, 10);
    assert.equal((await client.delete().prefix("npm/kv/")).deleted, "10");
  },

  async errors() {
    const lease = client.lease(10);
    await lease.grant();
    await lease.revoke();
    const put = client.put("npm/errors").value("1").lease(99);
    await assert.rejects(() => put.exec(), /requested lease not found/);
    assert.ok(EtcdLeaseInvalidError);
  },

  async txn() {
    const absent = () => client.if("npm/txn", "Create", "==", 0);
    const run = () => absent().then(client.put("npm/txn").value("1")).else(client.get("npm/txn"));
    assert.equal((await run().commit()).succeeded, true);
    assert.equal((await run().commit()).succeeded, false);
    await client.delete().key("npm/txn");
  },

  async watch() {
    const watcher = await client.watch().key("npm/watch").create();
    const seen = [];
    watcher.on("put", (kv) => seen.push(kv.value.toString()));
    for (let i = 0; i < 10; i++) await client.put("npm/watch").value(`${i}`);
    while (seen.length < 10) await sleep(10);
    assert.equal(seen.join(""), "0123456789");
    await watcher.cancel();
  },

  async lease() {
    const lease = client.lease(2);
    await lease.put("npm/lease").value("1");
    await sleep(3000);
    assert.equal(await client.get("npm/lease").string(), "1");
    await lease.revoke();
    assert.equal(await client.get("npm/lease").string(), null);
  },

  async lock() {
    let held = 0;
    const work = async () => {
      assert.equal(++held, 1);
      await sleep(20);
      held--;
    };
    // The package does not wait: those that come too early are refused.
    const results = await Promise.allSettled([1, 2, 3].map(() => client.lock("npm/lock").do(work)));
    assert.ok(results.some(({ status }) => status === "fulfilled"));
  },

  async election() {
    const campaign = client.election("npm-election").campaign("one");
    await new Promise((resolve, reject) => campaign.on("elected", resolve).on("error", reject));
    assert.equal(await client.election("npm-election").leader(), "one");
    await campaign.resign();
  },

  async resume() {
    const watcher = await client.watch().key("npm/resume").create();
    const seen = [];
    watcher.on("put", (kv) => seen.push(Number(kv.value.toString())));
    const patient = (call) => call().catch(() => sleep(10).then(() => patient(call)));
    let last = Infinity;
    for (let i = 0; i <= last; i++) {
      if (i === 20) console.log("halfway");
      await patient(() => client.put("npm/resume").value(`${i}`).exec());
      const stop = last === Infinity && (await patient(() => client.get("stop").string()));
      if (stop) last = i + 50;
    }
    while (seen.at(-1) !== last) await sleep(10);
    const distinct = seen.filter((value, i) => value !== seen[i - 1]);
    assert.deepEqual(
      distinct,
      Array.from({ length: last + 1 }, (_, i) => i),
    );
    await watcher.cancel();
  },
};

for (const [name, run] of Object.entries(cases)) {
  await run();
  console.log("ok", name);
}
client.close();
process.exit(0);
