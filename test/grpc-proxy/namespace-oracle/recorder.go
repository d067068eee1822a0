package main

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

type message interface {
	Marshal() ([]byte, error)
}

// bytesOf returns the encoding of m, in which the fields stand in the order of their numbers.
func bytesOf(m message) []byte {
	encoded, err := m.Marshal()
	if err != nil {
		panic(err)
	}
	return encoded
}

// recorder is etcd as a client sees it: it keeps the last request and gives one answer.
type recorder struct {
	pb.KVClient
	pb.LeaseClient
	pb.WatchClient

	path    string
	request []byte
	answer  message
}

func (r *recorder) record(path string, request message) {
	r.path = path
	r.request = bytesOf(request)
}

func (r *recorder) Range(_ context.Context, in *pb.RangeRequest, _ ...grpc.CallOption) (*pb.RangeResponse, error) {
	r.record("/etcdserverpb.KV/Range", in)
	return answerOf[*pb.RangeResponse](r)
}

func (r *recorder) Put(_ context.Context, in *pb.PutRequest, _ ...grpc.CallOption) (*pb.PutResponse, error) {
	r.record("/etcdserverpb.KV/Put", in)
	return answerOf[*pb.PutResponse](r)
}

func (r *recorder) DeleteRange(_ context.Context, in *pb.DeleteRangeRequest, _ ...grpc.CallOption) (*pb.DeleteRangeResponse, error) {
	r.record("/etcdserverpb.KV/DeleteRange", in)
	return answerOf[*pb.DeleteRangeResponse](r)
}

func (r *recorder) Txn(_ context.Context, in *pb.TxnRequest, _ ...grpc.CallOption) (*pb.TxnResponse, error) {
	r.record("/etcdserverpb.KV/Txn", in)
	return answerOf[*pb.TxnResponse](r)
}

func (r *recorder) LeaseTimeToLive(_ context.Context, in *pb.LeaseTimeToLiveRequest, _ ...grpc.CallOption) (*pb.LeaseTimeToLiveResponse, error) {
	r.record("/etcdserverpb.Lease/LeaseTimeToLive", in)
	return answerOf[*pb.LeaseTimeToLiveResponse](r)
}

var errNoAnswer = errors.New("no answer")

// answerOf returns the answer if it has the type that the call needs.
func answerOf[T message](r *recorder) (T, error) {
	if answer, ok := r.answer.(T); ok {
		return answer, nil
	}
	var none T
	return none, errNoAnswer
}

func (r *recorder) Watch(ctx context.Context, _ ...grpc.CallOption) (pb.Watch_WatchClient, error) {
	return &watchStream{recorder: r, ctx: ctx, responses: make(chan *pb.WatchResponse, 2)}, nil
}

// watchStream confirms the watch that is created on it, then sends the recorder's answer.
type watchStream struct {
	grpc.ClientStream
	recorder  *recorder
	ctx       context.Context
	responses chan *pb.WatchResponse
}

func (w *watchStream) Send(request *pb.WatchRequest) error {
	if request.GetCreateRequest() == nil {
		return nil
	}
	w.recorder.record("/etcdserverpb.Watch/Watch", request)
	w.responses <- &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 1}, Created: true}
	if answer, err := answerOf[*pb.WatchResponse](w.recorder); err == nil {
		w.responses <- answer
	}
	return nil
}

func (w *watchStream) Recv() (*pb.WatchResponse, error) {
	select {
	case response := <-w.responses:
		return response, nil
	case <-w.ctx.Done():
		return nil, w.ctx.Err()
	}
}

func (w *watchStream) CloseSend() error { return nil }
