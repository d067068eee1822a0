// Command go-tls connects to a TLS server with Go's own client, whose rules etcd's clients
// have. It sends its standard input and then close_notify, reads until the end, and prints
// one line of JSON.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
)

type outcome struct {
	Version  string `json:"version"`
	Protocol string `json:"protocol"`
	Serial   string `json:"serial"`
	Received int64  `json:"received"`
	Sha256   string `json:"sha256"`
	Error    string `json:"error"`
}

var (
	address    = flag.String("address", "", "host:port")
	name       = flag.String("name", "localhost", "name to verify")
	caFile     = flag.String("ca", "", "trusted certificates; none: no verification")
	certFile   = flag.String("cert", "", "client certificate")
	keyFile    = flag.String("key", "", "its key")
	maxVersion = flag.Uint("max-version", tls.VersionTLS13, "number of the newest version")
)

func main() {
	flag.Parse()
	result := outcome{}
	if err := run(&result); err != nil {
		result.Error = err.Error()
	}
	json.NewEncoder(os.Stdout).Encode(result)
}

func run(result *outcome) error {
	config, err := config()
	if err != nil {
		return err
	}
	connection, err := tls.Dial("tcp", *address, config)
	if err != nil {
		return err
	}
	defer connection.Close()
	state := connection.ConnectionState()
	result.Version = tls.VersionName(state.Version)
	result.Protocol = state.NegotiatedProtocol
	result.Serial = fmt.Sprintf("%X", state.PeerCertificates[0].SerialNumber)

	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(connection, os.Stdin)
		if err == nil {
			err = connection.CloseWrite()
		}
		sent <- err
	}()
	hash := sha256.New()
	result.Received, err = io.Copy(hash, connection)
	result.Sha256 = fmt.Sprintf("%x", hash.Sum(nil))
	if err != nil {
		return err
	}
	return <-sent
}

func config() (*tls.Config, error) {
	config := &tls.Config{
		ServerName: *name,
		MaxVersion: uint16(*maxVersion),
		NextProtos: []string{"h2"},
	}
	if *caFile == "" {
		config.InsecureSkipVerify = true
	} else {
		text, err := os.ReadFile(*caFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(text)
	}
	if *certFile != "" {
		pair, err := tls.LoadX509KeyPair(*certFile, *keyFile)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
