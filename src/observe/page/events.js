// What was logged of late.

let shownEvents;

/** Writes them anew only if there are others: who reads or selects is not disturbed. */
function events(list) {
  const text = JSON.stringify(list);
  if (text === shownEvents) return;
  shownEvents = text;
  byId("events").replaceChildren(...list.toReversed().map(eventLine));
}

function eventLine({ ts, level, msg, fields }) {
  const className = { warn: "warn", error: "bad" }[level] ?? "quiet";
  return element("li", {}, [
    element("time", { datetime: ts, text: `${ts.slice(0, 10)} ${ts.slice(11, 19)}` }),
    element("span", { className, text: level }),
    element("span", { text: msg }),
    element("span", {}, Object.entries(fields).flatMap(field)),
  ]);
}

const field = ([name, value]) => [
  element("code", {}, [
    element("span", { className: "quiet", text: `${name}=` }),
    typeof value === "string" ? value : JSON.stringify(value),
  ]),
  " ",
];
