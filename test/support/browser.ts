// A real browser, driven over the DevTools protocol: Debian's chromium, without
// a window and without any way out but loopback.
// https://chromedevtools.github.io/devtools-protocol/
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, eventually, requireTool } from "./gateway-command.ts";
import { until } from "./peer.ts";

type Parameters = Readonly<Record<string, unknown>>;
// What comes depends on the method; each caller knows what it asked for.
type Answer = any;

interface Message {
  readonly id?: number;
  readonly sessionId?: string;
  readonly method?: string;
  readonly params?: Answer;
  readonly result?: Answer;
  readonly error?: { readonly message: string };
}

const FLAGS = [
  "--headless",
  "--hide-scrollbars",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-extensions",
  "--disable-sync",
  "--no-first-run",
  "--no-proxy-server",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  "--remote-debugging-port=0",
];

const KEYS = {
  Tab: { windowsVirtualKeyCode: 9 },
  Enter: { windowsVirtualKeyCode: 13, text: "\r" },
  ArrowLeft: { windowsVirtualKeyCode: 37 },
} as const;

export class Browser {
  readonly #command: Command;
  readonly #folder: string;
  #socket: WebSocket | undefined;
  #lastId = 0;
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer>>();
  readonly #pages = new Map<string, Page>();

  constructor(command: Command, folder: string) {
    this.#command = command;
    this.#folder = folder;
  }

  /** The caller must close it. Throws the command that installs chromium. */
  static async launch(): Promise<Browser> {
    const folder = mkdtempSync(join(tmpdir(), "etcd-gateway-browser-"));
    const words = [requireTool("chromium"), ...FLAGS, `--user-data-dir=${folder}`, "about:blank"];
    const browser = new Browser(new Command(words, { env: { HOME: folder } }), folder);
    try {
      await browser.#connect();
    } catch (error) {
      await browser.close();
      throw error;
    }
    return browser;
  }

  /** A page of that many CSS pixels at `url`, loaded. */
  async open(url: string, { width = 1280, height = 900 } = {}): Promise<Page> {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page((method, params) => this.send(method, params, sessionId));
    this.#pages.set(sessionId, page);
    await page.open(url, width, height);
    return page;
  }

  async send(method: string, params: Parameters = {}, sessionId?: string): Promise<Answer> {
    const id = ++this.#lastId;
    const answer = Promise.withResolvers<Answer>();
    this.#waiting.set(id, answer);
    this.#socket!.send(JSON.stringify({ id, method, params, sessionId }));
    return await answer.promise;
  }

  /** May be called twice. */
  async close(): Promise<void> {
    this.#socket?.close();
    this.#socket = undefined;
    // It ends its own children when it is asked to end; killed, it would leave them.
    if (this.#command.status === undefined) this.#command.signal("SIGTERM");
    await this.#command.exited().catch(() => undefined);
    await this.#command.close();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async #connect(): Promise<void> {
    const find = () => /DevTools listening on (ws:\S+)/.exec(this.#command.stderr)?.[1];
    const isDecided = () => find() !== undefined || this.#command.status !== undefined;
    await until(isDecided, "chromium listened", 30_000);
    const url = find();
    if (url === undefined) throw new Error(`chromium ended: ${this.#command.stderr}`);
    this.#socket = new WebSocket(url);
    const opened = Promise.withResolvers<void>();
    this.#socket.onopen = () => opened.resolve();
    this.#socket.onmessage = ({ data }) => this.#take(JSON.parse(String(data)));
    this.#socket.onclose = () => {
      const error = new Error("chromium has closed the connection");
      opened.reject(error);
      for (const { reject } of this.#waiting.values()) reject(error);
    };
    await opened.promise;
  }

  #take({ id, sessionId, method, params, result, error }: Message): void {
    if (id === undefined) {
      this.#pages.get(sessionId ?? "")?.take(method!, params);
      return;
    }
    const waiting = this.#waiting.get(id)!;
    this.#waiting.delete(id);
    if (error === undefined) waiting.resolve(result);
    else waiting.reject(new Error(error.message));
  }
}

export class Page {
  /** URLs of all that it asked for. */
  readonly requests: string[] = [];
  /** Errors and warnings of its console, its uncaught exceptions, what its policy has blocked. */
  readonly complaints: string[] = [];
  readonly #send: (method: string, params?: Parameters) => Promise<Answer>;
  #isLoaded = false;

  constructor(send: (method: string, params?: Parameters) => Promise<Answer>) {
    this.#send = send;
  }

  async open(url: string, width: number, height: number): Promise<void> {
    for (const domain of ["Page", "Network", "Runtime", "Log"])
      await this.#send(`${domain}.enable`);
    await this.resize(width, height);
    await this.#send("Page.navigate", { url });
    await until(() => this.#isLoaded, `${url} was loaded`, 30_000);
  }

  async resize(width: number, height: number): Promise<void> {
    const metrics = { width, height, deviceScaleFactor: 1, mobile: width < 600 };
    await this.#send("Emulation.setDeviceMetricsOverride", metrics);
  }

  async prefer(scheme: "light" | "dark"): Promise<void> {
    const features = [{ name: "prefers-color-scheme", value: scheme }];
    await this.#send("Emulation.setEmulatedMedia", { features });
  }

  /** The value of an expression, or of what its promise resolves with. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.#send("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
      // Else the page's own policy would not hold for what is called from here.
      allowUnsafeEvalBlockedByCSP: false,
    });
    if (exceptionDetails === undefined) return result.value as T;
    throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  }

  /** As it is read on the page: "" if it is hidden; undefined if there is no such element. */
  text(selector: string): Promise<string | undefined> {
    return this.evaluate(`{
      const element = document.querySelector(${JSON.stringify(selector)});
      element?.checkVisibility() === false ? "" : element?.innerText
    }`);
  }

  /** Resolves once the element's text has `part`. */
  async shows(selector: string, part: string | RegExp): Promise<void> {
    let text: string | undefined;
    const attempt = async () => {
      text = await this.text(selector);
      const isShown = typeof part === "string" ? text?.includes(part) : part.test(text ?? "");
      return isShown || undefined;
    };
    try {
      await eventually(attempt, `${selector} showed ${part}`);
    } catch (error) {
      throw new Error(`${(error as Error).message}; it shows: ${text}`, { cause: error });
    }
  }

  async press(key: keyof typeof KEYS): Promise<void> {
    const event = { key, code: key, ...KEYS[key] };
    await this.#send("Input.dispatchKeyEvent", { type: "keyDown", ...event });
    await this.#send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  /** Hides it as another tab in front of it does, or shows it again. */
  async setVisible(isVisible: boolean): Promise<void> {
    // Chromium without a window has no tabs that cover each other; the page sees the same.
    await this.evaluate(`
      Object.defineProperty(document, "hidden", { configurable: true, value: ${!isVisible} });
      document.dispatchEvent(new Event("visibilitychange"))`);
  }

  async close(): Promise<void> {
    await this.#send("Page.close");
  }

  take(method: string, params: Answer): void {
    if (method === "Page.loadEventFired") this.#isLoaded = true;
    if (method === "Network.requestWillBeSent") this.requests.push(params.request.url);
    if (method === "Runtime.exceptionThrown")
      this.complaints.push(params.exceptionDetails.exception?.description ?? "exception");
    if (method === "Runtime.consoleAPICalled" && ["error", "warning"].includes(params.type))
      this.complaints.push(params.args.map(({ value }: { value: unknown }) => value).join(" "));
    if (method === "Log.entryAdded" && ["error", "warning"].includes(params.entry.level))
      this.complaints.push(`${params.entry.text} ${params.entry.url ?? ""}`);
  }
}
