import { describe, expect, test } from "bun:test";
import {
  isSameAddress,
  labelOf,
  parseDialableEndpoint,
  parseStaticEndpoint,
  urlOf,
} from "../../src/core/endpoint-spec.ts";

describe("parseDialableEndpoint()", () => {
  // The server names are those of etcd's translateEndpoint.
  const sockets: [text: string, path: string, url: string, name: string][] = [
    ["unix://localhost:m00", "localhost:m00", "unix://localhost:m00", "localhost"],
    ["unix:///run/etcd/m0.sock", "/run/etcd/m0.sock", "unix:///run/etcd/m0.sock", "m0.sock"],
    ["unix:run/m0", "run/m0", "unix://run/m0", "m0"],
    ["unix:/run/m0", "/run/m0", "unix:///run/m0", "m0"],
    [" UNIX://Run/M0 ", "Run/M0", "unix://Run/M0", "M0"],
    ["unixs://localhost:m00", "localhost:m00", "unixs://localhost:m00", "localhost"],
    ["unixs:///run/m0:2", "/run/m0:2", "unixs:///run/m0:2", "m0"],
  ];
  test.each(sockets)("parses %p as the socket %p", (text, path, url, name) => {
    const spec = parseDialableEndpoint(text);
    expect(spec).toMatchObject({
      unixPath: path,
      address: { host: `unix:${path}`, port: 0 },
      scheme: url.startsWith("unixs") ? "https" : undefined,
      certificateNames: [name],
    });
    expect([urlOf(spec), labelOf(spec)]).toEqual([url, `unix://${path}`]);
  });

  test.each(["unix://", "unix:", "unixs:///", "unix://run/"])("refuses %p", (text) => {
    expect(() => parseDialableEndpoint(text)).toThrow("a Unix socket needs the path of a file");
  });

  test.each(["htps://h:1", "ftp://h:1", "grpc+x://h:1", "://h:1"])("refuses %p", (text) => {
    expect(() => parseDialableEndpoint(text)).toThrow("is not one of http, https, unix and unixs");
  });

  test.each(["h:1", "HTTPS://h:1", "http://h:1/path", "https://[::1]:2379", " h:1"])(
    "parses %p as parseStaticEndpoint() does",
    (text) => expect(parseDialableEndpoint(text)).toEqual(parseStaticEndpoint(text)),
  );
});

describe("parseStaticEndpoint()", () => {
  test.each(["unix:///run/m0", "unixs://m0"])("refuses %p, as the gateway relays TCP", (text) => {
    expect(() => parseStaticEndpoint(text)).toThrow("a Unix socket is not a TCP address");
  });
});

describe("isSameAddress()", () => {
  test("compares hosts without case, and paths with it", () => {
    const same = (a: string, b: string) =>
      isSameAddress(parseDialableEndpoint(a), parseDialableEndpoint(b));
    expect(same("http://Node-1:2379", "node-1:2379")).toBe(true);
    expect(same("unix:///run/m0", "unixs:///run/m0")).toBe(true);
    expect(same("unix:///run/m0", "unix:///run/M0")).toBe(false);
  });
});
