// Checks that run inside a page: contrast, overflow and keyboard access.

/** Returns the visible texts with a contrast below 4.5:1 (WCAG AA), and the number measured. */
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

/** Returns the contrast of a colour on the element's background. */
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

/** Returns the relative luminance: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance */
function luminanceOf([red, green, blue]) {
  const linear = (part) =>
    part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4;
  return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
}

/** Returns the elements that extend past the right edge of the viewport. */
function overflowing() {
  const { scrollWidth, clientWidth } = document.documentElement;
  const wide = [...document.querySelectorAll("body *")].filter(
    (element) =>
      element.checkVisibility() && element.getBoundingClientRect().right > innerWidth + 1,
  );
  return [...wide.map(nameOf), ...(scrollWidth > clientWidth ? ["the document"] : [])];
}

/** Returns the short words that break across lines, which means their column is too narrow. */
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

/** Returns the elements that must be reachable with Tab: interactive and scrollable ones. */
function tabStops() {
  const interactive = "a[href], button, input, select, summary, .field svg";
  return [...document.querySelectorAll("body *")]
    .filter((element) => element.checkVisibility())
    .filter((element) => element.matches(interactive) || scrolls(element))
    .map(nameOf);
}

function scrolls(element) {
  const { overflowX, overflowY } = getComputedStyle(element);
  const allowsScrolling = (overflow) => overflow === "auto" || overflow === "scroll";
  return (
    (allowsScrolling(overflowX) && element.scrollWidth > element.clientWidth) ||
    (allowsScrolling(overflowY) && element.scrollHeight > element.clientHeight)
  );
}

/** Returns the focused element and whether its outline is visible (3:1, WCAG 1.4.11), or undefined. */
function focused() {
  const element = document.activeElement;
  if (element === document.body) return undefined;
  const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(element);
  const hasOutline = outlineStyle !== "none" && Number.parseFloat(outlineWidth) >= 2;
  const isVisible = hasOutline && contrastOf(element.parentElement, outlineColor) >= 3;
  // Chromium also focuses scrollable elements and SVG with listeners; other browsers need a tabindex.
  const isPortable = element.matches("a, summary, [tabindex]");
  return { name: nameOf(element), isVisible, isPortable };
}

/** Returns a name that is unique in the document. */
function nameOf(element) {
  const label = element.id || element.getAttribute("aria-label") || element.textContent.trim();
  const place = [...document.querySelectorAll("*")].indexOf(element);
  return `${element.localName} ${place} ${label.slice(0, 40)}`;
}
