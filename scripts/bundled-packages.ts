// What of bun.lock is inside the binary: the dependencies and their dependencies,
// not what only development needs.
import lock from "../bun.lock";
import packageJson from "../package.json" with { type: "json" };

export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX. */
  readonly license: string;
  /** As npm has it: `sha512-` and base64. */
  readonly integrity: string;
  /** Where it is installed. */
  readonly folder: string;
  /** Keys of `bundledPackages`. */
  readonly dependencies: readonly string[];
}

type Names = Readonly<Record<string, string>>;
type LockRow = readonly [
  nameAndVersion: string,
  registry: string,
  relations: { readonly dependencies?: Names; readonly optionalDependencies?: Names },
  integrity: string,
];
const rows = (lock as unknown as { packages: Readonly<Record<string, LockRow>> }).packages;

/** The keys of bun.lock on which the gateway itself depends. */
export const directDependencies: readonly string[] = keysOf(packageJson.dependencies, "");

/** By key of bun.lock: the name, or behind a slash in whose node_modules it is nested. */
export async function bundledPackages(): Promise<ReadonlyMap<string, BundledPackage>> {
  const packages = new Map<string, BundledPackage>();
  const waiting = [...directDependencies];
  for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) {
    if (packages.has(key)) continue;
    const [nameAndVersion, , relations, integrity] = rows[key]!;
    const at = nameAndVersion.lastIndexOf("@");
    const folder = `node_modules/${namesIn(key).join("/node_modules/")}`;
    const installed = (await Bun.file(`${folder}/package.json`).json()) as Record<string, string>;
    const version = nameAndVersion.slice(at + 1);
    if (installed["version"] !== version)
      throw new Error(`${folder} is ${installed["version"]}, bun.lock says ${version}`);
    if (!installed["license"]) throw new Error(`${folder}/package.json names no licence`);
    const dependencies = keysOf(
      { ...relations.dependencies, ...relations.optionalDependencies },
      key,
    );
    packages.set(key, {
      name: nameAndVersion.slice(0, at),
      version,
      license: installed["license"],
      integrity,
      folder,
      dependencies,
    });
    waiting.push(...dependencies);
  }
  return new Map([...packages].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Each name's key: nested as deep in `parent` as there is one, as modules are found. */
function keysOf(names: Names, parent: string): string[] {
  return Object.keys(names).flatMap((name) => {
    const parents = namesIn(parent);
    for (; parents.length > 0; parents.pop()) {
      const key = [...parents, name].join("/");
      if (key in rows) return [key];
    }
    return name in rows ? [name] : []; // an optional one that is not installed
  });
}

/** `a/@b/c` is c of @b, inside a. */
function namesIn(key: string): string[] {
  return key.match(/(@[^/]+\/)?[^/]+/g) ?? [];
}
