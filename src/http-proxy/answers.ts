// The answers that the proxy gives itself: etcd's own words where its proxy has some.

export interface OwnAnswer {
  readonly status: number;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

const JSON_TYPE = "application/json";

/** Returns an error in the form of etcd's proxy. @see etcd proxy/httpproxy/reverse.go */
export function errorAnswer(status: number, fact: string): OwnAnswer {
  return {
    status,
    contentType: JSON_TYPE,
    headers: status === 503 ? { "Retry-After": "1" } : {},
    body: JSON.stringify({ message: `httpproxy: ${fact}` }),
  };
}

/** No endpoint is known, or none accepts connections. */
export const NO_ENDPOINT = errorAnswer(503, "zero endpoints currently available");

export function noResponse(count: number, consequence = ""): OwnAnswer {
  return errorAnswer(502, `unable to get response from ${count} endpoint(s)${consequence}`);
}

// A gRPC status code, which etcd's JSON gateway puts into the body.
const UNIMPLEMENTED = 12;

/** Refuses a request of the read-only mode: without a body, as etcd's proxy does, unless it is JSON. */
export function refusal(isJson: boolean): OwnAnswer {
  if (!isJson) return { status: 501, body: "" };
  const message =
    "etcd-gateway: this proxy is read-only, and the request is not known to only read";
  return {
    status: 501,
    contentType: JSON_TYPE,
    body: JSON.stringify({ error: message, message, code: UNIMPLEMENTED, details: [] }),
  };
}

/** Refuses a Host header in etcd's words. @see etcd embed/serve.go, errCVE20185702 */
export function unknownHost(host: string): OwnAnswer {
  const body = `etcd received your request, but the Host header was unrecognized.

To fix this, choose one of the following options:
- Enable TLS, then any HTTPS request will be allowed.
- Add the hostname you want to use to the whitelist in settings.
  - e.g. etcd --host-whitelist ${JSON.stringify(host)}

This requirement has been added to help prevent "DNS Rebinding" attacks (CVE-2018-5702).

`;
  return { status: 421, contentType: "text/plain; charset=utf-8", body };
}
