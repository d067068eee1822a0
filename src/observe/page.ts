// The page at `/`: one file without anything beside it, and headers that let it
// load nothing but /status.
import page from "./page.html" with { type: "text" };

// bun-types knows .html only as something to bundle; `type: "text"` makes it a string.
export const PAGE = page as unknown as string;

/** Without what every answer has. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "Content-Type": "text/html; charset=utf-8",
  // The hashes allow exactly the page's own script and style: text of the cluster
  // that came to be markup would still not run.
  "Content-Security-Policy": [
    "default-src 'none'",
    `script-src '${hashOf("script")}'`,
    `style-src '${hashOf("style")}'`,
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  "Referrer-Policy": "no-referrer",
};

/** https://www.w3.org/TR/CSP3/#grammardef-hash-source of the page's only such element. */
function hashOf(element: "script" | "style"): string {
  const text = PAGE.slice(
    PAGE.indexOf(`<${element}>`) + `<${element}>`.length,
    PAGE.indexOf(`</${element}>`),
  );
  return `sha256-${new Bun.CryptoHasher("sha256").update(text).digest("base64")}`;
}
