// The page at `/`: put together from page/ into one file without anything beside
// it, with headers that let it load nothing but /status.
import asking from "./page/asking.js" with { type: "text" };
import elements from "./page/elements.js" with { type: "text" };
import endpoints from "./page/endpoints.js" with { type: "text" };
import events from "./page/events.js" with { type: "text" };
import figures from "./page/figures.js" with { type: "text" };
import figuresInWords from "./page/figures-in-words.js" with { type: "text" };
import largePlots from "./page/large-plots.js" with { type: "text" };
import markup from "./page/page.html" with { type: "text" };
import plots from "./page/plots.js" with { type: "text" };
import plotsStyle from "./page/plots.css" with { type: "text" };
import rates from "./page/rates.js" with { type: "text" };
import style from "./page/style.css" with { type: "text" };
import tablesStyle from "./page/tables.css" with { type: "text" };

const STYLE = [style, plotsStyle, tablesStyle].join("\n");

// One script, so that its files share their names. They come in the order in which
// they need each other while they are read; the last begins.
const SCRIPT = [
  '"use strict";',
  ...[elements, figuresInWords, rates, plots, largePlots, figures, endpoints, events, asking],
].join("\n");

// bun-types knows .html only as something to bundle; `type: "text"` makes it a string.
export const PAGE = (markup as unknown as string)
  .replace("<style></style>", () => `<style>${STYLE}</style>`)
  .replace("<script></script>", () => `<script>${SCRIPT}</script>`);

/** Without what every answer has. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "Content-Type": "text/html; charset=utf-8",
  // The hashes allow exactly the page's own script and style: text of the cluster
  // that came to be markup would still not run.
  "Content-Security-Policy": [
    "default-src 'none'",
    `script-src '${hashOf(SCRIPT)}'`,
    `style-src '${hashOf(STYLE)}'`,
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  "Referrer-Policy": "no-referrer",
};

/** https://www.w3.org/TR/CSP3/#grammardef-hash-source */
function hashOf(text: string): string {
  return `sha256-${new Bun.CryptoHasher("sha256").update(text).digest("base64")}`;
}
