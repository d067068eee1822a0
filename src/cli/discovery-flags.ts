// Rows of the flag table: how the endpoints are found, and how the gateway asks etcd itself.
import type { Flag } from "./flag.ts";
import {
  parseBoolean,
  parseDnsServers,
  parseDomain,
  parseServiceName,
  parseText,
  parseTimer,
} from "./flag-values.ts";

export const discoveryFlags = {
  "discovery-srv": {
    value: "DOMAIN",
    summary:
      "DNS domain whose SRV records _etcd-client-ssl._tcp and _etcd-client._tcp name the endpoints, with priority and weight (RFC 2782).",
    example: "example.com",
    parse: parseDomain,
  },
  "discovery-srv-name": {
    value: "NAME",
    summary:
      "Suffix of the service names: with staging, _etcd-client-ssl-staging._tcp is asked for.",
    example: "staging",
    parse: parseServiceName,
  },
  "insecure-discovery": {
    value: "",
    default: "false",
    summary:
      "Accept SRV records that are not authenticated. Without it only _etcd-client-ssl endpoints are used, each verified by a TLS handshake.",
    example: "true",
    parse: parseBoolean,
  },
  "discovery-refresh-interval": {
    value: "DURATION",
    default: "30s",
    summary:
      "How often the SRV records are looked up again; sooner if their TTL is shorter. 0: at start, and when every endpoint is down. Otherwise at least 100ms.",
    example: "1m",
    parse: (text: string) => parseTimer(text, 100, "or 0"),
  },
  "discovery-servers": {
    value: "HOST:PORT,...",
    repeatable: true,
    summary:
      "DNS servers, by IP address, to ask in order instead of the system's, for SRV records and for the names of endpoints. The hosts file and the search list are not used then.",
    example: "10.0.0.53:53",
    parse: parseDnsServers,
  },
  "endpoints-auto-sync-interval": {
    value: "DURATION",
    default: "0s",
    summary:
      "How often the cluster is asked for its member list, whose client URLs are then the endpoints. 0: never. Otherwise at least 100ms.",
    example: "1m",
    parse: (text: string) => parseTimer(text, 100, "or 0"),
  },
  "trusted-ca-file": {
    value: "FILE",
    summary:
      "CA certificates that verify the endpoints found by --discovery-srv, and those asked for the member list or their health; never used for the traffic. Each is trusted by itself: a root, an intermediate or an endpoint's own. Not set: the system's.",
    example: "/etc/etcd/ca.pem",
    parse: parseText,
  },
  "cert-file": {
    value: "FILE",
    summary: "Client certificate for asking the member list; never used for the traffic.",
    example: "/etc/etcd/client.pem",
    parse: parseText,
  },
  "key-file": {
    value: "FILE",
    summary: "Key of --cert-file.",
    example: "/etc/etcd/client.key",
    parse: parseText,
  },
  user: {
    value: "NAME",
    summary: "User who asks for the member list of a cluster with authentication.",
    example: "gateway",
    parse: parseText,
  },
  password: {
    value: "PASSWORD",
    isSecret: true,
    summary:
      "Password of --user. On the command line every user of the machine can read it; the variable and the config file are safer.",
    example: "secret",
    parse: parseText,
  },
} satisfies Record<string, Flag<unknown>>;
