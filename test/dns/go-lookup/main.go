// Command go-lookup looks up names with Go's own resolver, for comparison with the
// gateway's. It takes pairs of arguments, `host NAME` or `srv NAME`, and prints one JSON
// line for each. Run it with GODEBUG=netdns=go.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

type answer struct {
	Found     []string `json:"found"`
	NotFound  bool     `json:"notFound"`
	IsTimeout bool     `json:"isTimeout"`
	Error     string   `json:"error"`
	Seconds   int      `json:"seconds"`
}

func main() {
	for i := 1; i+1 < len(os.Args); i += 2 {
		start := time.Now()
		found, err := lookup(os.Args[i], os.Args[i+1])
		result := answer{Found: found, Seconds: int(time.Since(start).Seconds() + 0.5)}
		var dnsError *net.DNSError
		if errors.As(err, &dnsError) {
			result.NotFound = dnsError.IsNotFound
			result.IsTimeout = dnsError.IsTimeout
		}
		if err != nil {
			result.Error = err.Error()
		}
		line, _ := json.Marshal(result)
		fmt.Println(string(line))
	}
}

func lookup(kind, name string) ([]string, error) {
	found := []string{}
	if kind == "host" {
		addresses, err := net.DefaultResolver.LookupIPAddr(context.Background(), name)
		for _, address := range addresses {
			found = append(found, address.String())
		}
		return found, err
	}
	_, records, err := net.DefaultResolver.LookupSRV(context.Background(), "", "", name)
	for _, r := range records {
		text := fmt.Sprintf("%d %d %d %s", r.Priority, r.Weight, r.Port, strings.ToLower(r.Target))
		found = append(found, text)
	}
	return found, err
}
