// The list of recent log events.

let shownEvents;

/** Rebuilds the list only if it changed, to leave a reader's selection and scroll position alone. */
function renderEvents(list) {
  const text = JSON.stringify(list);
  if (text === shownEvents) return;
  shownEvents = text;
  byId("events").replaceChildren(...list.toReversed().map(eventItem));
}

function eventItem({ ts, level, msg, fields }) {
  const className = { warn: "warn", error: "bad" }[level] ?? "quiet";
  return element("li", {}, [
    element("time", { datetime: ts, text: `${ts.slice(0, 10)} ${ts.slice(11, 19)}` }),
    element("span", { className, text: level }),
    element("span", { text: msg }),
    element("span", {}, Object.entries(fields).flatMap(fieldNodes)),
  ]);
}

const fieldNodes = ([name, value]) => [
  element("code", {}, [
    element("span", { className: "quiet", text: `${name}=` }),
    typeof value === "string" ? value : JSON.stringify(value),
  ]),
  " ",
];
