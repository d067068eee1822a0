// Runs inside a page: what can be measured of how it looks and is used.

/** The texts one can see whose contrast is below 4.5:1 (WCAG AA), and how many were measured. */
function measureContrast() {
  const faint = [];
  let measured = 0;
  const measure = (element, text, pseudo) => {
    const ratio = contrastOf(element, getComputedStyle(element, pseudo).color);
    measured++;
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)}:1 ${text}`);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { parentElement, data } = walker.currentNode;
    if (data.trim() !== "" && parentElement.checkVisibility()) measure(parentElement, data.trim());
  }
  for (const element of document.querySelectorAll("body *")) {
    const { content } = getComputedStyle(element, "::before");
    if (element.checkVisibility() && !["none", '""'].includes(content))
      measure(element, content, "::before");
  }
  return { faint, measured };
}

/** Of a colour on what is behind the element. */
function contrastOf(element, colour) {
  let ground;
  let opacity = 1;
  for (let at = element; at !== null; at = at.parentElement) {
    const style = getComputedStyle(at);
    if (ground === undefined) opacity *= Number(style.opacity);
    if (ground === undefined && partsOf(style.backgroundColor)[3] > 0)
      ground = partsOf(style.backgroundColor);
  }
  const [red, green, blue, alpha] = partsOf(colour);
  const shown = [red, green, blue].map(
    (part, i) => part * alpha * opacity + ground[i] * (1 - alpha * opacity),
  );
  const [darker, lighter] = [luminanceOf(shown), luminanceOf(ground)].sort((a, b) => a - b);
  return (lighter + 0.05) / (darker + 0.05);
}

function partsOf(colour) {
  const [red, green, blue, alpha = 1] = colour.match(/[\d.]+/g).map(Number);
  return [red, green, blue, alpha];
}

/** https://www.w3.org/TR/WCAG22/#dfn-relative-luminance */
function luminanceOf([red, green, blue]) {
  const linear = (part) =>
    part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4;
  return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
}

/** What reaches over the right edge. */
function overflowing() {
  const { scrollWidth, clientWidth } = document.documentElement;
  const wide = [...document.querySelectorAll("body *")].filter(
    (element) =>
      element.checkVisibility() && element.getBoundingClientRect().right > innerWidth + 1,
  );
  return [...wide.map(nameOf), ...(scrollWidth > clientWidth ? ["the document"] : [])];
}

/** Words that would fit into a line and go over two: what they are in is squeezed. */
function brokenWords() {
  const broken = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    for (const { 0: word, index } of node.data.matchAll(/(?<!\S)\w{2,12}(?!\S)/g)) {
      const range = document.createRange();
      range.setStart(node, index);
      range.setEnd(node, index + word.length);
      if (range.getClientRects().length > 1) broken.push(word);
    }
  }
  return broken;
}

/** What has to be reachable by Tab: all that reacts, and all that scrolls. */
function mustBeReached() {
  const reacts = "a[href], button, input, select, summary, .field svg";
  return [...document.querySelectorAll("body *")]
    .filter((element) => element.checkVisibility())
    .filter((element) => element.matches(reacts) || scrolls(element))
    .map(nameOf);
}

function scrolls(element) {
  const { overflowX, overflowY } = getComputedStyle(element);
  const can = (overflow) => overflow === "auto" || overflow === "scroll";
  return (
    (can(overflowX) && element.scrollWidth > element.clientWidth) ||
    (can(overflowY) && element.scrollHeight > element.clientHeight)
  );
}

/** What has the focus, and whether one sees it (3:1, WCAG 1.4.11); undefined if nothing has. */
function focused() {
  const element = document.activeElement;
  if (element === document.body) return undefined;
  const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(element);
  const isDrawn = outlineStyle !== "none" && Number.parseFloat(outlineWidth) >= 2;
  const isSeen = isDrawn && contrastOf(element.parentElement, outlineColor) >= 3;
  // Chromium stops at scrollers and at SVG that listens; other browsers have to be told.
  const isForAll = element.matches("a, summary, [tabindex]");
  return { name: nameOf(element), isSeen, isForAll };
}

/** Different for each element. */
function nameOf(element) {
  const label = element.id || element.getAttribute("aria-label") || element.textContent.trim();
  const place = [...document.querySelectorAll("*")].indexOf(element);
  return `${element.localName} ${place} ${label.slice(0, 40)}`;
}
