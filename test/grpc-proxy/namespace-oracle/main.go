// A reference for the namespace of the gRPC proxy.
//
//	namespace-oracle cases SEED COUNT
//
// prints COUNT random messages as etcd's client/v3/namespace rewrites them.
//
//	namespace-oracle ranges < LINES
//
// prints which keys a server reads in requests: each line is a message's name and its bytes.
//
// Bytes are in base64.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	lines := json.NewEncoder(out)
	switch {
	case len(args) == 3 && args[0] == "cases":
		seed, err := strconv.ParseInt(args[1], 10, 64)
		if err != nil {
			return err
		}
		count, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return printCases(lines, seed, count)
	case len(args) == 1 && args[0] == "ranges":
		return printRanges(lines, os.Stdin)
	}
	return fmt.Errorf("usage: namespace-oracle cases SEED COUNT | ranges")
}
