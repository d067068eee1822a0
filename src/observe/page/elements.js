// Creates and updates DOM elements. Data from the gateway is inserted as text,
// never as markup.

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

function svgElement(name, attributes = {}) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

/** Sets the text of a node only if it changes, to keep selections and not alert screen readers. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Adds or removes children at the end until there are `count`, and returns them all. */
function resizeChildren(parent, count, create) {
  while (parent.children.length > count) parent.lastElementChild.remove();
  while (parent.children.length < count) parent.append(create());
  return [...parent.children];
}

/**
 * Fills a table with rows of text. The first cell of a row is its header;
 * `numberColumns` are the indexes of the right-aligned columns.
 */
function fillTable(table, lines, numberColumns = []) {
  const create = () =>
    element("tr", {}, [
      element("th", { scope: "row" }),
      ...lines[0]
        .slice(1)
        .map((_, i) => element("td", { className: numberColumns.includes(i + 1) ? "number" : "" })),
    ]);

  resizeChildren(table.tBodies[0], lines.length, create).forEach((row, i) =>
    lines[i].forEach((text, column) => setText(row.children[column], text)),
  );
}
