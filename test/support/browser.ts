// Drives a headless chromium over the DevTools protocol. It can reach nothing but
// loopback.
// https://chromedevtools.github.io/devtools-protocol/
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, eventually, requireTool } from "./gateway-command.ts";
import { until } from "./peer.ts";

type Parameters = Readonly<Record<string, unknown>>;
// The type depends on the method; each caller knows its own.
type Result = any;

interface Message {
  readonly id?: number;
  readonly sessionId?: string;
  readonly method?: string;
  readonly params?: Result;
  readonly result?: Result;
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
  readonly #pending = new Map<number, PromiseWithResolvers<Result>>();
  readonly #pages = new Map<string, Page>();

  constructor(command: Command, folder: string) {
    this.#command = command;
    this.#folder = folder;
  }

  /** Starts chromium; the caller must close it. If chromium is missing, throws how to install it. */
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

  /** Opens `url` in a new page of `width` by `height` CSS pixels, and waits until it has loaded. */
  async open(url: string, { width = 1280, height = 900 } = {}): Promise<Page> {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page((method, params) => this.send(method, params, sessionId));
    this.#pages.set(sessionId, page);
    await page.open(url, width, height);
    return page;
  }

  async send(method: string, params: Parameters = {}, sessionId?: string): Promise<Result> {
    const id = ++this.#lastId;
    const response = Promise.withResolvers<Result>();
    this.#pending.set(id, response);
    this.#socket!.send(JSON.stringify({ id, method, params, sessionId }));
    return await response.promise;
  }

  /** May be called twice. */
  async close(): Promise<void> {
    this.#socket?.close();
    this.#socket = undefined;
    // On SIGTERM chromium ends its child processes; on SIGKILL they would stay.
    if (this.#command.status === undefined) this.#command.signal("SIGTERM");
    await this.#command.exited().catch(() => undefined);
    await this.#command.close();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async #connect(): Promise<void> {
    const find = () => /DevTools listening on (ws:\S+)/.exec(this.#command.stderr)?.[1];
    const isListeningOrExited = () => find() !== undefined || this.#command.status !== undefined;
    await until(isListeningOrExited, "chromium listened", 30_000);

    const url = find();
    if (url === undefined) throw new Error(`chromium exited: ${this.#command.stderr}`);
    this.#socket = new WebSocket(url);

    const opened = Promise.withResolvers<void>();
    this.#socket.onopen = () => opened.resolve();
    this.#socket.onmessage = ({ data }) => this.#onMessage(JSON.parse(String(data)));
    this.#socket.onclose = () => {
      const error = new Error("chromium closed the connection");
      opened.reject(error);
      for (const { reject } of this.#pending.values()) reject(error);
    };
    await opened.promise;
  }

  #onMessage({ id, sessionId, method, params, result, error }: Message): void {
    if (id === undefined) {
      this.#pages.get(sessionId ?? "")?.onEvent(method!, params);
      return;
    }
    const pending = this.#pending.get(id)!;
    this.#pending.delete(id);
    if (error === undefined) pending.resolve(result);
    else pending.reject(new Error(error.message));
  }
}

export class Page {
  /** The URLs of all requests. */
  readonly requests: string[] = [];
  /** Console errors and warnings, uncaught exceptions, and loads that the CSP blocked. */
  readonly errors: string[] = [];
  readonly #send: (method: string, params?: Parameters) => Promise<Result>;
  #isLoaded = false;

  constructor(send: (method: string, params?: Parameters) => Promise<Result>) {
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

  /** Evaluates an expression and returns its value, or the value its promise resolves with. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.#send("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
      // Otherwise the page's CSP would not apply to code called from here.
      allowUnsafeEvalBlockedByCSP: false,
    });
    if (exceptionDetails === undefined) return result.value as T;
    throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  }

  /** Returns the displayed text: "" if the element is hidden, undefined if there is none. */
  text(selector: string): Promise<string | undefined> {
    return this.evaluate(`{
      const element = document.querySelector(${JSON.stringify(selector)});
      element?.checkVisibility() === false ? "" : element?.innerText
    }`);
  }

  /** Waits until the element's text contains or matches `part`. */
  async shows(selector: string, part: string | RegExp): Promise<void> {
    let text: string | undefined;
    const attempt = async () => {
      text = await this.text(selector);
      const isMatch = typeof part === "string" ? text?.includes(part) : part.test(text ?? "");
      return isMatch || undefined;
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

  /** Hides the page as a tab switch does, or shows it again. */
  async setVisible(isVisible: boolean): Promise<void> {
    // Headless chromium has no tabs to switch, so this sets what the page observes.
    await this.evaluate(`
      Object.defineProperty(document, "hidden", { configurable: true, value: ${!isVisible} });
      document.dispatchEvent(new Event("visibilitychange"))`);
  }

  async close(): Promise<void> {
    await this.#send("Page.close");
  }

  onEvent(method: string, params: Result): void {
    if (method === "Page.loadEventFired") this.#isLoaded = true;
    if (method === "Network.requestWillBeSent") this.requests.push(params.request.url);
    if (method === "Runtime.exceptionThrown")
      this.errors.push(params.exceptionDetails.exception?.description ?? "exception");
    if (method === "Runtime.consoleAPICalled" && ["error", "warning"].includes(params.type))
      this.errors.push(params.args.map(({ value }: { value: unknown }) => value).join(" "));
    if (method === "Log.entryAdded" && ["error", "warning"].includes(params.entry.level))
      this.errors.push(`${params.entry.text} ${params.entry.url ?? ""}`);
  }
}
