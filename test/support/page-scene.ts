// Opens the pages of a test file in one browser, and checks each after its test.
import { expect } from "bun:test";
import { Browser, type Page } from "./browser.ts";

/** Text that runs a script if the page inserts it as markup. */
export const MARKUP = `<img src="/x" onerror="window.hasRun=1"><script>window.hasRun=1</script>`;

const FIGURES = ["Clients", "Accepted", "Refused", "To servers", "To clients", "Buffered", "CPU"];

/** Returns a selector for the figure called `name`. */
export const figure = (name: string) =>
  `#figures > div:nth-child(${FIGURES.indexOf(name) + 1}) > dd`;

const CALL_FIGURES = ["Calls", "New calls", "Waiting calls", "Sessions"];

/** Returns a selector for the figure of calls called `name`. */
export const callFigure = (name: string) =>
  `#call-figures > div:nth-child(${CALL_FIGURES.indexOf(name) + 1}) > dd`;

/** Returns a selector for the cells of endpoint `i`, from 0, that match `cell`. */
export const row = (i: number, cell = "*") => `#endpoints tbody tr:nth-child(${i + 1}) > ${cell}`;

export class PageScene {
  #browser: Browser | undefined;
  #shown: { page: Page; url: string }[] = [];

  /** Call in beforeAll; call `check` in afterEach and `close` in afterAll. */
  async open(): Promise<void> {
    this.#browser = await Browser.launch();
  }

  /** Opens the page at the root of `url`. */
  async show(url: string, size?: { width: number; height: number }): Promise<Page> {
    const page = await this.#browser!.open(`${url}/`, size);
    this.#shown.push({ page, url });
    return page;
  }

  /** Closes the pages, and checks that they requested only `/` and /status and reported no errors. */
  async check(): Promise<void> {
    const shown = this.#shown;
    this.#shown = [];
    for (const { page } of shown) await page.close();
    for (const { page, url } of shown) {
      const own = [`${url}/`, `${url}/status`];
      expect(page.requests.filter((requested) => !own.includes(requested))).toEqual([]);
      // The browser also reports when the gateway does not respond, which is not an error of the page.
      const isPageError = (text: string) => !/^Failed to load resource: .*\/status$/.test(text);
      expect(page.errors.filter(isPageError)).toEqual([]);
    }
  }

  async close(): Promise<void> {
    await this.#browser?.close();
  }
}

/** Makes the page poll at once, as it does when it becomes visible. */
export async function pollNow(page: Page): Promise<void> {
  await page.setVisible(true);
}
