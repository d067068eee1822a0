// Prints the licences of everything inside the binary, which must be distributed with it.
import packageJson from "../package.json" with { type: "json" };
import { bundledPackages } from "./bundled-packages.ts";

const parts = [
  `etcd-gateway ${packageJson.version}: Copyright the etcd-gateway authors.
License: ${packageJson.license}. The text is in the file LICENSE next to this one, at
https://www.apache.org/licenses/LICENSE-2.0, and on Debian systems in
/usr/share/common-licenses/Apache-2.0.

The binary contains the following software.`,
];
for (const { name, version, license, folder } of (await bundledPackages()).values())
  parts.push(`${name} ${version}. License: ${license}.\n\n${await textOf(folder)}`);
// Bun's executable comes without its licences; the package of its types, which has the
// same version, includes them.
const bunText = await Bun.file("node_modules/bun-types/docs/project/license.mdx").text();
const bunVersion = packageJson.packageManager.replace("@", " ");
parts.push(
  `${bunVersion}, https://github.com/oven-sh/bun\n\n${bunText.replace(/^---\n.*?\n---\n/s, "").trim()}`,
);
console.log(parts.join(`\n\n${"-".repeat(78)}\n\n`));

async function textOf(folder: string): Promise<string> {
  for await (const name of new Bun.Glob("{LICENSE,LICENCE}*").scan(folder))
    return (await Bun.file(`${folder}/${name}`).text()).trim();
  throw new Error(`${folder} does not contain a file LICENSE`);
}
