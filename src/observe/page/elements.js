// Elements of the page. What the gateway says gets in as text and as nothing else.

const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);

function element(name, { className, text, ...attributes } = {}, children = []) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function shape(name, attributes = {}) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

/** Leaves a node alone whose text is the same: selections live on, screen readers stay silent. */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Makes it have so many children; those that were there stay. */
function fit(parent, count, create) {
  while (parent.children.length > count) parent.lastElementChild.remove();
  while (parent.children.length < count) parent.append(create());
  return [...parent.children];
}

/** Rows of text; the first cell is a row's head, and the columns of `numbers` are numbers. */
function rows(table, lines, numbers = []) {
  const create = () =>
    element("tr", {}, [
      element("th", { scope: "row" }),
      ...lines[0]
        .slice(1)
        .map((_, i) => element("td", { className: numbers.includes(i + 1) ? "number" : "" })),
    ]);
  fit(table.tBodies[0], lines.length, create).forEach((row, i) =>
    lines[i].forEach((text, column) => write(row.children[column], text)),
  );
}
