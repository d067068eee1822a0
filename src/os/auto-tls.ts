// The certificate of --auto-tls: creates it in the data folder, reuses it at the next
// start, and renews it in time. It does not serve it: a ListenerTls watches the files.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { chmod, mkdir, rename, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { join, resolve } from "node:path";
import { isDnsName } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import { StartError } from "../core/start-error.ts";
import { readTextFile } from "./files.ts";
import { readChain, readPrivateKey } from "./pem.ts";
import { createSelfSigned } from "./self-signed.ts";

// Where etcd's proxy keeps them.
const FOLDER = join("fixtures", "proxy");

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const YEAR_MS = 365 * DAY_MS;

// Clocks of clients may be slow.
const BACKDATE_MS = HOUR_MS;

// Whichever is the longer remainder renews the certificate.
const RENEWAL_SHARE = 0.1;
const RENEWAL_MS = 30 * DAY_MS;

const CHECK_INTERVAL_MS = HOUR_MS;

export interface AutoTlsOptions {
  readonly dataDir: string;
  /** The host of --listen-addr, which the certificate must hold. Empty or unspecified: every address. */
  readonly listenHost: string;
  /** In years of 365 days. At least 1. */
  readonly validityYears: number;
  readonly clock: Clock;
  /** Returns milliseconds since 1970. */
  readonly wallClock: () => number;
}

export interface AutoTlsEvents {
  /** A certificate was written to `certFile`. `notAfter` is an ISO 8601 time. */
  created(certFile: string, notAfter: string): void;
  /** A renewal failed, and is tried again in an hour. */
  failed(message: string): void;
}

export class AutoTls {
  readonly certFile: string;
  readonly keyFile: string;
  readonly #folder: string;
  readonly #options: AutoTlsOptions;
  readonly #events: AutoTlsEvents;
  #cancelTimer = () => {};
  #isClosed = false;

  constructor(options: AutoTlsOptions, events: AutoTlsEvents) {
    this.#options = options;
    this.#events = events;
    this.#folder = resolve(options.dataDir, FOLDER);
    this.certFile = join(this.#folder, "cert.pem");
    this.keyFile = join(this.#folder, "key.pem");
  }

  /**
   * Creates the certificate, unless there is one that is valid long enough, and watches
   * its age.
   *
   * @throws {StartError} if the files cannot be written.
   */
  async start(): Promise<void> {
    try {
      await this.#ensure();
    } catch (error) {
      const reason = (error as Error).message;
      throw new StartError(
        `Cannot create a self-signed certificate in "${this.#folder}": ${reason}; choose another --data-dir`,
        { cause: error },
      );
    }
    this.#watch();
  }

  /** Stops watching. The files stay. May be called twice. */
  close(): void {
    this.#isClosed = true;
    this.#cancelTimer();
  }

  #watch(): void {
    if (this.#isClosed) return;
    this.#cancelTimer = this.#options.clock.after(CHECK_INTERVAL_MS, () => void this.#check());
  }

  async #check(): Promise<void> {
    try {
      await this.#ensure();
    } catch (error) {
      const reason = (error as Error).message;
      this.#events.failed(`cannot renew the self-signed certificate "${this.certFile}": ${reason}`);
    }
    this.#watch();
  }

  async #ensure(): Promise<void> {
    const current = await this.#read();
    if (current === undefined || !this.#isUsable(current)) await this.#create();
  }

  /** Returns the certificate if it and its key can be used. */
  async #read(): Promise<X509Certificate | undefined> {
    try {
      const [certificate] = readChain(await readTextFile(this.certFile));
      const key = createPrivateKey(readPrivateKey(await readTextFile(this.keyFile)));
      return certificate!.checkPrivateKey(key) ? certificate : undefined;
    } catch {
      return undefined; // it is absent or damaged, or may not be read: then writing fails as well
    }
  }

  /** Whether a certificate is for the listen address and is not due for renewal. */
  #isUsable(certificate: X509Certificate): boolean {
    const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
    const now = this.#options.wallClock();
    if (now < from || to - now < Math.max((to - from) * RENEWAL_SHARE, RENEWAL_MS)) return false;

    const [host] = listenNames(this.#options.listenHost);
    if (host === undefined) return true;
    return isIP(host) === 0
      ? certificate.checkHost(host) !== undefined
      : certificate.checkIP(host) !== undefined;
  }

  async #create(): Promise<void> {
    const now = this.#options.wallClock();
    const notAfter = now + this.#options.validityYears * YEAR_MS;
    const names = [...new Set([...listenNames(this.#options.listenHost), ...machineNames()])];
    const { cert, key } = createSelfSigned({ names, notBefore: now - BACKDATE_MS, notAfter });

    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    // Both are complete before one is replaced.
    await writePrivate(`${this.keyFile}.new`, key);
    await writePrivate(`${this.certFile}.new`, cert);
    await rename(`${this.keyFile}.new`, this.keyFile);
    await rename(`${this.certFile}.new`, this.certFile);
    this.#events.created(this.certFile, new Date(notAfter).toISOString());
  }
}

async function writePrivate(path: string, text: string): Promise<void> {
  await writeFile(path, text, { mode: 0o600 });
  await chmod(path, 0o600); // a file of this name may be left from a process that was killed
}

/** Returns the host of a listen address, unless it stands for every address. */
function listenNames(host: string): string[] {
  const bare = host.replace(/%.*$/, "");
  return ["", "0.0.0.0", "::"].includes(bare) ? [] : [bare];
}

/** Returns the names and addresses by which clients may reach this machine. */
function machineNames(): string[] {
  const addresses = Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .map(({ address }) => address)
    .filter((address) => isIP(address) !== 0 && !address.startsWith("fe80:"));
  const names = ["localhost", hostname()].filter(isDnsName);
  return [...names, "127.0.0.1", "::1", ...addresses];
}
