package main

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
)

// A testCase is one message on both sides of the namespace.
type testCase struct {
	Path      string `json:"path"`
	Direction string `json:"direction"`
	Prefix    []byte `json:"prefix"`
	Client    []byte `json:"client"`
	Etcd      []byte `json:"etcd"`
	// Refused is whether the namespace refuses the request, for its empty key.
	Refused bool `json:"refused"`
}

func printCases(lines *json.Encoder, seed int64, count int) error {
	for i := range count {
		// Each case has its own generator, so that it can be repeated alone.
		r := rand.New(rand.NewSource(seed + int64(i)))
		prefix := prefixes[r.Intn(len(prefixes))]
		made, err := makers[i%len(makers)](r, prefix)
		if err != nil {
			return err
		}
		made.Prefix = []byte(prefix)
		if err := lines.Encode(made); err != nil {
			return err
		}
	}
	return nil
}

var makers = []func(*rand.Rand, string) (testCase, error){
	opRequest, opRequest, txnRequest, txnRequest, watchRequest,
	opResponse, opResponse, txnResponse, watchResponse, timeToLiveResponse,
}

func opRequest(r *rand.Rand, prefix string) (testCase, error) {
	return doRequest(randomOp(r), prefix)
}

func txnRequest(r *rand.Rand, prefix string) (testCase, error) {
	return doRequest(randomTxn(r, 0), prefix)
}

// doRequest sends op without a namespace and with one.
func doRequest(op clientv3.Op, prefix string) (testCase, error) {
	recorded := &recorder{}
	kv := clientv3.NewKVFromKVClient(recorded, nil)
	if _, err := kv.Do(context.Background(), op); !errors.Is(err, errNoAnswer) {
		return testCase{}, err
	}
	made := testCase{Path: recorded.path, Direction: "request", Client: recorded.request}
	_, err := namespace.NewKV(kv, prefix).Do(context.Background(), op)
	if errors.Is(err, rpctypes.ErrEmptyKey) {
		made.Refused = true
		return made, nil
	}
	made.Etcd = recorded.request
	if !errors.Is(err, errNoAnswer) {
		return testCase{}, err
	}
	return made, nil
}

func opResponse(r *rand.Rand, prefix string) (testCase, error) {
	switch r.Intn(3) {
	case 0:
		return doResponse(clientv3.OpGet("k"), prefix, randomRangeResponse(r, prefix))
	case 1:
		return doResponse(clientv3.OpPut("k", ""), prefix, randomPutResponse(r, prefix))
	}
	return doResponse(clientv3.OpDelete("k"), prefix, randomDeleteResponse(r, prefix))
}

func txnResponse(r *rand.Rand, prefix string) (testCase, error) {
	return doResponse(clientv3.OpTxn(nil, nil, nil), prefix, randomTxnResponse(r, prefix, 0))
}

// doResponse lets etcd answer op with answer, which the namespace changes in place.
func doResponse(op clientv3.Op, prefix string, answer message) (testCase, error) {
	etcd := bytesOf(answer)
	recorded := &recorder{answer: answer}
	kv := namespace.NewKV(clientv3.NewKVFromKVClient(recorded, nil), prefix)
	if _, err := kv.Do(context.Background(), op); err != nil {
		return testCase{}, err
	}
	return response(recorded.path, bytesOf(answer), etcd), nil
}

func response(path string, client, etcd []byte) testCase {
	return testCase{
		Path:      path,
		Direction: "response",
		Client:    client,
		Etcd:      etcd,
	}
}

// watchRequest creates a watch without a namespace, and passes what was sent on to a watcher with
// one, as etcd's proxy does. (A client in the same process would reach the key that is the prefix
// itself, by an empty key with WithPrefix, which is sent as the key "\x00".)
func watchRequest(r *rand.Rand, prefix string) (testCase, error) {
	key, bounds, options := randomKey(r), rangeOptions(r), watchOptions(r)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	// Watch returns after the creation.
	plain := &recorder{}
	watcher := clientv3.NewWatchFromWatchClient(plain, nil)
	defer watcher.Close()
	watcher.Watch(ctx, key, append(bounds, options...)...)

	sent := &pb.WatchRequest{}
	if err := sent.Unmarshal(plain.request); err != nil {
		return testCase{}, err
	}
	create := sent.GetCreateRequest()
	spaced := &recorder{}
	prefixed := namespace.NewWatcher(clientv3.NewWatchFromWatchClient(spaced, nil), prefix)
	defer prefixed.Close()
	options = append(options, clientv3.WithRange(string(create.RangeEnd)))
	prefixed.Watch(ctx, string(create.Key), options...)
	return testCase{
		Path:      plain.path,
		Direction: "request",
		Client:    plain.request,
		Etcd:      spaced.request,
	}, nil
}

func watchResponse(r *rand.Rand, prefix string) (testCase, error) {
	answer := randomWatchResponse(r, prefix)
	etcd := bytesOf(answer)
	recorded := &recorder{answer: answer}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	watcher := namespace.NewWatcher(clientv3.NewWatchFromWatchClient(recorded, nil), prefix)
	defer watcher.Close()

	received := <-watcher.Watch(ctx, "k")
	if len(received.Events) != len(answer.Events) {
		return testCase{}, errors.New("the watcher passed on other events")
	}
	client := &pb.WatchResponse{Header: answer.Header}
	for _, event := range received.Events {
		client.Events = append(client.Events, (*mvccpb.Event)(event))
	}
	return response(recorded.path, bytesOf(client), etcd), nil
}

func timeToLiveResponse(r *rand.Rand, prefix string) (testCase, error) {
	answer := randomTimeToLiveResponse(r, prefix)
	etcd := bytesOf(answer)
	recorded := &recorder{answer: answer}
	lease := namespace.NewLease(clientv3.NewLeaseFromLeaseClient(recorded, nil, time.Minute), prefix)
	received, err := lease.TimeToLive(context.Background(), 1, clientv3.WithAttachedKeys())
	if err != nil {
		return testCase{}, err
	}
	answer.Keys = received.Keys
	return response(recorded.path, bytesOf(answer), etcd), nil
}
