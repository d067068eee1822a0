// The calls of the gRPC proxy: figures, and the codes of each method. The gateway has none.

// By number: https://github.com/grpc/grpc/blob/master/doc/statuscodes.md
const CODES = [
  ...["OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound"],
  ...["AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted"],
  ...["OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"],
];

/** The gateway's own history has no methods: the rate is undefined until the second response. */
const startedCalls = ({ methods }) => methods && sum(methods.map(({ started }) => started));

function renderCalls({ gateway }, currentRate) {
  const { methods, calls, waitingCalls, sessions } = gateway;
  byId("calls").hidden = methods === undefined;
  if (methods === undefined) return;

  // Its /metrics are those of a member.
  byId("metrics").setAttribute("href", "./proxy/metrics");
  setText(byId("metrics"), "/proxy/metrics");
  fillFigures(byId("call-figures"), [
    ["Calls", count(calls), "in progress"],
    ["New calls", perSecond(currentRate(startedCalls)), `${count(startedCalls(gateway))} total`],
    ["Waiting calls", count(waitingCalls), "for a connection to a member", waitingCalls > 0],
    ["Sessions", count(sessions), "open connections to members"],
  ]);
  const lines = methods.toSorted((a, b) => b.started - a.started).map(methodLine);
  fillTable(byId("methods"), lines.length > 0 ? lines : [["none yet", ""]]);
}

/** Returns a method, and its calls in progress and by code. */
function methodLine({ service, name, started, handled }) {
  const ended = Object.fromEntries(CODES.map((code, i) => [code, handled[i]]));
  return [`${service}/${name}`, listCounts({ ...ended, in_progress: started - sum(handled) })];
}
