// Lists the packages of bun.lock that are inside the binary: the dependencies and
// their dependencies, without those that only development needs.
import lock from "../bun.lock";
import packageJson from "../package.json" with { type: "json" };

export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** An SPDX expression. */
  readonly license: string;
  /** npm's format: `sha512-` and base64. */
  readonly integrity: string;
  /** The folder where it is installed. */
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

/** Keys of bun.lock: the packages that the gateway itself depends on. */
export const directDependencies: readonly string[] = keysOf(packageJson.dependencies, "");

/**
 * Returns the packages by their key in bun.lock: the name, or for a package nested
 * in another's node_modules, both names with a slash in between.
 */
export async function bundledPackages(): Promise<ReadonlyMap<string, BundledPackage>> {
  const packages = new Map<string, BundledPackage>();
  const pending = [...directDependencies];

  for (let key = pending.pop(); key !== undefined; key = pending.pop()) {
    if (packages.has(key)) continue;
    const [nameAndVersion, , relations, integrity] = rows[key]!;
    const at = nameAndVersion.lastIndexOf("@");
    const version = nameAndVersion.slice(at + 1);

    const folder = `node_modules/${namesIn(key).join("/node_modules/")}`;
    const installed = (await Bun.file(`${folder}/package.json`).json()) as Record<string, string>;
    if (installed["version"] !== version)
      throw new Error(`${folder} has version ${installed["version"]}, bun.lock ${version}`);
    if (!installed["license"]) throw new Error(`${folder}/package.json does not name a licence`);

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
    pending.push(...dependencies);
  }

  return new Map([...packages].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Resolves names to keys as modules are resolved: the most deeply nested in `parent` wins. */
function keysOf(names: Names, parent: string): string[] {
  return Object.keys(names).flatMap((name) => {
    const parents = namesIn(parent);
    for (; parents.length > 0; parents.pop()) {
      const key = [...parents, name].join("/");
      if (key in rows) return [key];
    }
    return name in rows ? [name] : []; // absent: an optional dependency that is not installed
  });
}

/** Splits a key into package names: `a/@b/c` is `@b/c` inside `a`. */
function namesIn(key: string): string[] {
  return key.match(/(@[^/]+\/)?[^/]+/g) ?? [];
}
