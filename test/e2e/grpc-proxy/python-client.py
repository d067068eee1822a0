"""Uses the PyPI package etcd3 at an endpoint: one line "ok CASE" for each case that passed.
After "halfway", the test kills a member and puts "stop"."""

import sys
import time

import etcd3

host, port = sys.argv[1].split(":")
client = etcd3.client(host=host, port=int(port), timeout=10)


def kv():
    for i in range(10):
        client.put(f"py/kv/{i}", str(i))
    assert client.get("py/kv/3")[0] == b"3"
    assert len(list(client.get_prefix("py/kv/"))) == 10
    assert client.delete_prefix("py/kv/").deleted == 10


def txn():
    for expected in (True, False):
        succeeded, _ = client.transaction(
            compare=[client.transactions.version("py/txn") == 0],
            success=[client.transactions.put("py/txn", "1")],
            failure=[client.transactions.get("py/txn")],
        )
        assert succeeded is expected
    client.delete("py/txn")


def watch():
    events, cancel = client.watch("py/watch")
    for i in range(10):
        client.put("py/watch", str(i))
        assert next(events).value == str(i).encode()
    cancel()


def lease():
    held = client.lease(2)
    client.put("py/lease", "1", lease=held)
    for _ in range(6):
        assert list(held.refresh())[0].TTL == 2
        time.sleep(0.5)
    assert client.get("py/lease")[0] == b"1"
    held.revoke()
    assert client.get("py/lease")[0] is None


def lock():
    # Waiting for a lock fails with today's version of a package that etcd3 uses.
    for _ in range(3):
        with client.lock("py/lock", ttl=10) as held:
            assert held.is_acquired()
        assert not held.is_acquired()


def maintenance():
    assert len(list(client.members)) == 3
    assert client.status().version
    with open("/dev/null", "wb") as out:
        client.snapshot(out)


def patient(call):
    while True:
        try:
            return call()
        except etcd3.exceptions.ConnectionFailedError:
            time.sleep(0.01)


def resume():
    i, last = 0, None
    while last is None or i <= last:
        if i == 20:
            print("halfway", flush=True)
        patient(lambda: client.put("py/resume", str(i)))
        if last is None and patient(lambda: client.get("stop"))[0] is not None:
            last = i + 50
        i += 1
    assert client.get("py/resume")[0] == str(last).encode()


for case in (kv, txn, watch, lease, lock, maintenance, resume):
    case()
    print("ok", case.__name__, flush=True)
