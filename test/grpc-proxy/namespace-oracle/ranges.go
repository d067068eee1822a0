package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// What a server reads in a request: its keys and range ends, or an error.
type reading struct {
	Error  string      `json:"error"`
	Ranges [][2][]byte `json:"ranges"`
}

// etcd up to 3.6 decodes with gogo/protobuf, etcd from 3.7 with protobuf-go. They read repeated
// members of a oneof differently.
type readings struct {
	Gogo reading `json:"gogo"`
	Go   reading `json:"go"`
}

type request interface {
	message
	Unmarshal([]byte) error
}

func printRanges(lines *json.Encoder, in io.Reader) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		name, text, _ := strings.Cut(scanner.Text(), " ")
		encoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return err
		}
		if newRequest(name) == nil {
			return fmt.Errorf("unknown request %q", name)
		}
		if err := lines.Encode(readings{readGogo(name, encoded), readGo(name, encoded)}); err != nil {
			return err
		}
	}
	return scanner.Err()
}

func newRequest(name string) request {
	switch name {
	case "RangeRequest":
		return &pb.RangeRequest{}
	case "PutRequest":
		return &pb.PutRequest{}
	case "DeleteRangeRequest":
		return &pb.DeleteRangeRequest{}
	case "TxnRequest":
		return &pb.TxnRequest{}
	case "WatchRequest":
		return &pb.WatchRequest{}
	}
	return nil
}

func readGogo(name string, encoded []byte) reading {
	request := newRequest(name)
	if err := request.Unmarshal(encoded); err != nil {
		return reading{Error: err.Error()}
	}
	return reading{Ranges: rangesOf(request)}
}

// readGo decodes with protobuf-go, and lets gogo read the result, which is unambiguous.
func readGo(name string, encoded []byte) reading {
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(
		protoreflect.FullName("etcdserverpb." + name))
	if err != nil {
		panic(err)
	}
	decoded := dynamicpb.NewMessage(descriptor.(protoreflect.MessageDescriptor))
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(encoded, decoded); err != nil {
		return reading{Error: err.Error()}
	}
	canonical, err := proto.Marshal(decoded)
	if err != nil {
		panic(err)
	}
	return readGogo(name, canonical)
}

func rangesOf(request request) [][2][]byte {
	ranges := [][2][]byte{}
	add := func(key, end []byte) {
		ranges = append(ranges, [2][]byte{key, end})
	}
	switch r := request.(type) {
	case *pb.RangeRequest:
		add(r.Key, r.RangeEnd)
	case *pb.PutRequest:
		add(r.Key, nil)
	case *pb.DeleteRangeRequest:
		add(r.Key, r.RangeEnd)
	case *pb.WatchRequest:
		if create := r.GetCreateRequest(); create != nil {
			add(create.Key, create.RangeEnd)
		}
	case *pb.TxnRequest:
		for _, compare := range r.Compare {
			add(compare.Key, compare.RangeEnd)
		}
		for _, op := range append(append([]*pb.RequestOp{}, r.Success...), r.Failure...) {
			ranges = append(ranges, rangesOfOp(op)...)
		}
	}
	return ranges
}

func rangesOfOp(op *pb.RequestOp) [][2][]byte {
	switch r := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		return rangesOf(r.RequestRange)
	case *pb.RequestOp_RequestPut:
		return rangesOf(r.RequestPut)
	case *pb.RequestOp_RequestDeleteRange:
		return rangesOf(r.RequestDeleteRange)
	case *pb.RequestOp_RequestTxn:
		return rangesOf(r.RequestTxn)
	}
	return nil
}
