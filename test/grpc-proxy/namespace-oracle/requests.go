package main

import (
	"math/rand"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var prefixes = []string{"p", "tenant-a/", "\x00", "\xff", "\xff\xff", "a\xff", "a\xff\xff", "ab\xfe"}

var fixedKeys = []string{"", "a", "b", "\x00", "\xff", "a\xff", "foo", "\x00\x00"}

func randomKey(r *rand.Rand) string {
	if r.Intn(2) == 0 {
		return fixedKeys[r.Intn(len(fixedKeys))]
	}
	// Some lengths need a second byte only with the prefix.
	lengths := []int{1 + r.Intn(20), 110 + r.Intn(20)}
	key := make([]byte, lengths[min(1, r.Intn(6)/5)])
	r.Read(key)
	return string(key)
}

func randomValue(r *rand.Rand) string {
	value := make([]byte, r.Intn(20))
	r.Read(value)
	return string(value)
}

// maybe adds option in one of three calls.
func maybe(r *rand.Rand, options []clientv3.OpOption, option clientv3.OpOption) []clientv3.OpOption {
	if r.Intn(3) > 0 {
		return options
	}
	return append(options, option)
}

func rangeOptions(r *rand.Rand) []clientv3.OpOption {
	switch r.Intn(5) {
	case 0:
		return []clientv3.OpOption{clientv3.WithPrefix()}
	case 1:
		return []clientv3.OpOption{clientv3.WithFromKey()}
	case 2, 3:
		return []clientv3.OpOption{clientv3.WithRange(randomKey(r))}
	}
	return nil
}

func randomGet(r *rand.Rand) clientv3.Op {
	options := rangeOptions(r)
	options = maybe(r, options, clientv3.WithLimit(r.Int63()))
	options = maybe(r, options, clientv3.WithRev(r.Int63n(1000)))
	options = maybe(r, options, clientv3.WithSort(
		clientv3.SortTarget(r.Intn(5)), clientv3.SortOrder(r.Intn(3))))
	options = maybe(r, options, clientv3.WithSerializable())
	options = maybe(r, options, clientv3.WithKeysOnly())
	options = maybe(r, options, clientv3.WithCountOnly())
	options = maybe(r, options, clientv3.WithMinModRev(r.Int63n(1000)))
	options = maybe(r, options, clientv3.WithMaxModRev(r.Int63n(1000)))
	options = maybe(r, options, clientv3.WithMinCreateRev(r.Int63n(1000)))
	options = maybe(r, options, clientv3.WithMaxCreateRev(r.Int63n(1000)))
	return clientv3.OpGet(randomKey(r), options...)
}

func randomPut(r *rand.Rand) clientv3.Op {
	options := maybe(r, nil, clientv3.WithLease(clientv3.LeaseID(r.Int63())))
	options = maybe(r, options, clientv3.WithPrevKV())
	options = maybe(r, options, clientv3.WithIgnoreValue())
	options = maybe(r, options, clientv3.WithIgnoreLease())
	return clientv3.OpPut(randomKey(r), randomValue(r), options...)
}

func randomDelete(r *rand.Rand) clientv3.Op {
	return clientv3.OpDelete(randomKey(r), maybe(r, rangeOptions(r), clientv3.WithPrevKV())...)
}

func randomCompare(r *rand.Rand) clientv3.Cmp {
	key := randomKey(r)
	operator := []string{"=", "!=", ">", "<"}[r.Intn(4)]
	var compare clientv3.Cmp
	switch r.Intn(5) {
	case 0:
		compare = clientv3.Compare(clientv3.Value(key), operator, randomValue(r))
	case 1:
		compare = clientv3.Compare(clientv3.Version(key), operator, r.Int63n(100))
	case 2:
		compare = clientv3.Compare(clientv3.CreateRevision(key), operator, r.Int63())
	case 3:
		compare = clientv3.Compare(clientv3.ModRevision(key), operator, r.Int63n(100))
	default:
		compare = clientv3.Compare(clientv3.LeaseValue(key), operator, r.Int63())
	}
	switch r.Intn(4) {
	case 0:
		return compare.WithPrefix()
	case 1:
		return compare.WithRange(randomKey(r))
	}
	return compare
}

func randomTxn(r *rand.Rand, depth int) clientv3.Op {
	compares := make([]clientv3.Cmp, r.Intn(3))
	for i := range compares {
		compares[i] = randomCompare(r)
	}
	return clientv3.OpTxn(compares, randomOps(r, depth), randomOps(r, depth))
}

func randomOps(r *rand.Rand, depth int) []clientv3.Op {
	ops := make([]clientv3.Op, r.Intn(4))
	for i := range ops {
		if depth < 4 && r.Intn(4) == 0 {
			ops[i] = randomTxn(r, depth+1)
		} else {
			ops[i] = randomOp(r)
		}
	}
	return ops
}

func randomOp(r *rand.Rand) clientv3.Op {
	return []func(*rand.Rand) clientv3.Op{randomGet, randomPut, randomDelete}[r.Intn(3)](r)
}

func watchOptions(r *rand.Rand) []clientv3.OpOption {
	options := maybe(r, nil, clientv3.WithRev(r.Int63n(1000)))
	options = maybe(r, options, clientv3.WithProgressNotify())
	options = maybe(r, options, clientv3.WithFilterPut())
	options = maybe(r, options, clientv3.WithFilterDelete())
	options = maybe(r, options, clientv3.WithPrevKV())
	return maybe(r, options, clientv3.WithFragment())
}
