package main

import (
	"math/rand"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

func randomHeader(r *rand.Rand) *pb.ResponseHeader {
	return &pb.ResponseHeader{
		ClusterId: r.Uint64(),
		MemberId:  r.Uint64(),
		Revision:  r.Int63n(1000),
		RaftTerm:  r.Uint64() % 10,
	}
}

func randomKeyValue(r *rand.Rand, prefix string) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{
		Key:            []byte(prefix + randomKey(r)),
		CreateRevision: r.Int63n(1000),
		ModRevision:    r.Int63n(1000),
		Version:        r.Int63n(100),
		Value:          []byte(randomValue(r)),
		Lease:          r.Int63() * r.Int63n(2),
	}
}

func randomKeyValues(r *rand.Rand, prefix string) []*mvccpb.KeyValue {
	kvs := make([]*mvccpb.KeyValue, r.Intn(5))
	for i := range kvs {
		kvs[i] = randomKeyValue(r, prefix)
	}
	return kvs
}

func maybeKeyValue(r *rand.Rand, prefix string) *mvccpb.KeyValue {
	if r.Intn(2) == 0 {
		return nil
	}
	return randomKeyValue(r, prefix)
}

func randomRangeResponse(r *rand.Rand, prefix string) *pb.RangeResponse {
	return &pb.RangeResponse{
		Header: randomHeader(r),
		Kvs:    randomKeyValues(r, prefix),
		More:   r.Intn(2) == 0,
		Count:  r.Int63n(100),
	}
}

func randomPutResponse(r *rand.Rand, prefix string) *pb.PutResponse {
	return &pb.PutResponse{Header: randomHeader(r), PrevKv: maybeKeyValue(r, prefix)}
}

func randomDeleteResponse(r *rand.Rand, prefix string) *pb.DeleteRangeResponse {
	return &pb.DeleteRangeResponse{
		Header:  randomHeader(r),
		Deleted: r.Int63n(100),
		PrevKvs: randomKeyValues(r, prefix),
	}
}

func randomTxnResponse(r *rand.Rand, prefix string, depth int) *pb.TxnResponse {
	responses := make([]*pb.ResponseOp, r.Intn(4))
	for i := range responses {
		responses[i] = randomResponseOp(r, prefix, depth)
	}
	return &pb.TxnResponse{
		Header:    randomHeader(r),
		Succeeded: r.Intn(2) == 0,
		Responses: responses,
	}
}

func randomResponseOp(r *rand.Rand, prefix string, depth int) *pb.ResponseOp {
	switch kind := r.Intn(5); {
	case kind == 0:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{
			ResponseRange: randomRangeResponse(r, prefix)}}
	case kind == 1:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{
			ResponsePut: randomPutResponse(r, prefix)}}
	case kind == 2:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseDeleteRange{
			ResponseDeleteRange: randomDeleteResponse(r, prefix)}}
	case kind == 3 && depth < 4:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseTxn{
			ResponseTxn: randomTxnResponse(r, prefix, depth+1)}}
	}
	return &pb.ResponseOp{}
}

// randomWatchResponse has at least one event, without which the client passes nothing on. The
// key of PrevKv is that of Kv, as in etcd: client/v3/namespace copies it.
func randomWatchResponse(r *rand.Rand, prefix string) *pb.WatchResponse {
	response := &pb.WatchResponse{Header: randomHeader(r)}
	for range 1 + r.Intn(4) {
		event := &mvccpb.Event{
			Type:   mvccpb.Event_EventType(r.Intn(2)),
			Kv:     randomKeyValue(r, prefix),
			PrevKv: maybeKeyValue(r, prefix),
		}
		if event.PrevKv != nil {
			event.PrevKv.Key = event.Kv.Key
		}
		response.Events = append(response.Events, event)
	}
	return response
}

func randomTimeToLiveResponse(r *rand.Rand, prefix string) *pb.LeaseTimeToLiveResponse {
	response := &pb.LeaseTimeToLiveResponse{
		Header:     randomHeader(r),
		ID:         r.Int63(),
		TTL:        r.Int63n(100) - 1,
		GrantedTTL: r.Int63n(100),
	}
	for range r.Intn(5) {
		key := randomKey(r)
		if r.Intn(2) == 0 {
			key = prefix + key
		}
		response.Keys = append(response.Keys, []byte(key))
	}
	return response
}
