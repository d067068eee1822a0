// Prints the bill of materials of a binary as CycloneDX 1.5: the gateway, Bun and the
// bundled npm packages, read from package.json, bun.lock, node_modules and the npm
// package that Bun's executable comes from. SOURCE_DATE_EPOCH is the time in seconds.
//   bun scripts/sbom.ts BINARY TARGET BUN_PACKAGE_JSON BUN_SHA512SUM
import packageJson from "../package.json" with { type: "json" };
import { bundledPackages, directDependencies } from "./bundled-packages.ts";

const [binary, target, bunPackage, bunSum] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
];

const packages = await bundledPackages();
const { name, version, license } = (await Bun.file(bunPackage).json()) as Record<string, string>;
const [bunHash] = (await Bun.file(bunSum).text()).split(" ");
const bun = npmComponent("application", name!, version!, license!, bunHash!);
const libraries = [...packages.values()].map((each) => {
  const hash = Buffer.from(each.integrity.replace("sha512-", ""), "base64").toString("hex");
  return npmComponent("library", each.name, each.version, each.license, hash);
});

const own = `pkg:generic/${packageJson.name}@${packageJson.version}`;
const binaryHash = new Bun.CryptoHasher("sha256").update(await Bun.file(binary).bytes());
const sha256 = binaryHash.digest("hex");
const document = {
  $schema: "http://cyclonedx.org/schema/bom-1.5.schema.json",
  bomFormat: "CycloneDX",
  specVersion: "1.5",
  // Derived from the binary, so that the same binary has the same number.
  serialNumber: `urn:uuid:${Bun.randomUUIDv5(`${own}#${sha256}`, "url")}`,
  version: 1,
  metadata: {
    timestamp: new Date(Number(process.env["SOURCE_DATE_EPOCH"]) * 1000).toISOString(),
    component: {
      type: "application",
      "bom-ref": own,
      name: packageJson.name,
      version: packageJson.version,
      description: packageJson.description,
      hashes: [{ alg: "SHA-256", content: sha256 }],
      licenses: licensesOf(packageJson.license),
      purl: own,
      properties: [{ name: "etcd-gateway:target", value: target }],
    },
  },
  components: [bun, ...libraries],
  dependencies: [
    { ref: own, dependsOn: [bun["bom-ref"], ...directDependencies.map(purlAt)] },
    { ref: bun["bom-ref"], dependsOn: [] },
    ...[...packages].map(([key, { dependencies }]) => ({
      ref: purlAt(key),
      dependsOn: dependencies.map(purlAt),
    })),
  ],
};
console.log(JSON.stringify(document, null, 2));

function npmComponent(
  type: string,
  packageName: string,
  packageVersion: string,
  packageLicense: string,
  sha512: string,
) {
  const purl = purlOf(packageName, packageVersion);
  return {
    type,
    "bom-ref": purl,
    name: packageName,
    version: packageVersion,
    // The hash of the archive in the npm registry, not of the code in the binary.
    hashes: [{ alg: "SHA-512", content: sha512 }],
    licenses: licensesOf(packageLicense),
    purl,
  };
}

function licensesOf(spdx: string) {
  return /^[\w.-]+$/.test(spdx) ? [{ license: { id: spdx } }] : [{ expression: spdx }];
}

function purlAt(key: string): string {
  const found = packages.get(key)!;
  return purlOf(found.name, found.version);
}

function purlOf(packageName: string, packageVersion: string): string {
  return `pkg:npm/${packageName.replace("@", "%40")}@${packageVersion}`;
}
