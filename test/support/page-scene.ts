// The pages of a test file, in one browser.
import { expect } from "bun:test";
import { Browser, type Page } from "./browser.ts";

/** Text that would run if it came to be markup. */
export const MARKUP = `<img src="/x" onerror="window.hasRun=1"><script>window.hasRun=1</script>`;

const FIGURES = ["Clients", "Accepted", "Refused", "To servers", "To clients", "Held", "CPU"];

/** Selects the figure of that name. */
export const figure = (name: string) =>
  `#figures > div:nth-child(${FIGURES.indexOf(name) + 1}) > dd`;

/** Selects the cells of an endpoint, counted from 0, or those of them that `cell` selects. */
export const row = (i: number, cell = "*") => `#endpoints tbody tr:nth-child(${i + 1}) > ${cell}`;

export class PageScene {
  #browser: Browser | undefined;
  #shown: { page: Page; url: string }[] = [];

  /** Belongs into beforeAll, as `check` into afterEach and `close` into afterAll. */
  async open(): Promise<void> {
    this.#browser = await Browser.launch();
  }

  /** The page at the root of `url`. */
  async show(url: string, size?: { width: number; height: number }): Promise<Page> {
    const page = await this.#browser!.open(`${url}/`, size);
    this.#shown.push({ page, url });
    return page;
  }

  /** Whatever the test was about: its pages asked for themselves and /status, and had no faults. */
  async check(): Promise<void> {
    const shown = this.#shown;
    this.#shown = [];
    for (const { page } of shown) await page.close();
    for (const { page, url } of shown) {
      const own = [`${url}/`, `${url}/status`];
      expect(page.requests.filter((asked) => !own.includes(asked))).toEqual([]);
      // That a gateway has gone is no fault of the page's.
      const isFault = (text: string) => !/^Failed to load resource: .*\/status$/.test(text);
      expect(page.complaints.filter(isFault)).toEqual([]);
    }
  }

  async close(): Promise<void> {
    await this.#browser?.close();
  }
}

/** A page that is seen again asks at once, so that a test need not wait for its next round. */
export async function askNow(page: Page): Promise<void> {
  await page.setVisible(true);
}
