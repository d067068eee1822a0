// Assembles the page at `/` from the files in page/ into one document. Its headers
// allow it to load nothing but /status.
import calls from "./page/calls.js" with { type: "text" };
import elements from "./page/elements.js" with { type: "text" };
import endpoints from "./page/endpoints.js" with { type: "text" };
import events from "./page/events.js" with { type: "text" };
import figures from "./page/figures.js" with { type: "text" };
import format from "./page/format.js" with { type: "text" };
import largePlots from "./page/large-plots.js" with { type: "text" };
import markup from "./page/page.html" with { type: "text" };
import plots from "./page/plots.js" with { type: "text" };
import plotsStyle from "./page/plots.css" with { type: "text" };
import polling from "./page/polling.js" with { type: "text" };
import rates from "./page/rates.js" with { type: "text" };
import style from "./page/style.css" with { type: "text" };
import tablesStyle from "./page/tables.css" with { type: "text" };

const STYLE = [style, plotsStyle, tablesStyle].join("\n");

// One script, so the files share a scope. A file follows those whose names it uses
// while it loads; the last one starts polling.
const SCRIPT = [
  '"use strict";',
  ...[elements, format, rates, plots, largePlots, figures, calls, endpoints, events, polling],
].join("\n");

// bun-types declares .html imports as bundles; with `type: "text"` this is a string.
export const PAGE = (markup as unknown as string)
  .replace("<style></style>", () => `<style>${STYLE}</style>`)
  .replace("<script></script>", () => `<script>${SCRIPT}</script>`);

/** Headers of the page, in addition to those of every response. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "Content-Type": "text/html; charset=utf-8",
  // The hashes allow only the page's own script and style. If text from the cluster
  // ever became markup, it still could not run.
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

/** Returns a CSP hash source: https://www.w3.org/TR/CSP3/#grammardef-hash-source */
function hashOf(text: string): string {
  return `sha256-${new Bun.CryptoHasher("sha256").update(text).digest("base64")}`;
}
