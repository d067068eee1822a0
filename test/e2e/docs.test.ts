// Other programs accept what docs/ offers them, and nothing in docs/ names or links to
// what does not exist.
import { describe, expect, test } from "bun:test";
import { dirname, join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { GATEWAY_METRICS } from "../../src/gateway/gateway-metrics.ts";
import { withProcessMetrics } from "../../src/observe/process-metrics.ts";
import { RELAY_ENDS } from "../../src/relay/relay-end.ts";
import { requireTool, run } from "../support/gateway-command.ts";
import { parseArgv, readConfig } from "../support/flags.ts";

const METRICS = withProcessMetrics(GATEWAY_METRICS);

const SUFFIXES = ["", "_bucket", "_sum", "_count"];

/** Whether /metrics can have a series of this name. */
function exists(name: string): boolean {
  return METRICS.some((metric) =>
    SUFFIXES.some((suffix) => name === metric.name + (metric.type === "histogram" ? suffix : "")),
  );
}

const pages = [
  "CHANGELOG.md",
  "README.md",
  ...[...new Bun.Glob("docs/**/*.md").scanSync()].toSorted(),
];

/** Removes code blocks and code spans, whose brackets are not links. */
function withoutCode(markdown: string): string {
  return markdown.replace(/^ *```[^]*?^ *```$/gm, "").replace(/`[^`\n]*`/g, "code");
}

/** Returns the anchors of a page's headings, as GitHub makes them. */
function anchorsOf(markdown: string): string[] {
  const headings = markdown.replace(/^ *```[^]*?^ *```$/gm, "").matchAll(/^#+ (.*)$/gm);
  const seen = new Map<string, number>();
  return [...headings].map(([, heading]) => {
    const name = heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-");
    const count = seen.get(name) ?? 0;
    seen.set(name, count + 1);
    return count === 0 ? name : `${name}-${count}`;
  });
}

const metricsIn = (text: string) => [
  ...new Set(text.match(/\b(?:etcd_gateway|process)_[a-z_]+/g) ?? []),
];

describe("docs/", () => {
  test("names this version in kubernetes.yaml, and CHANGELOG.md has a section for it", async () => {
    const image = `image: ${packageJson.name}:${packageJson.version}`;
    expect((await Bun.file("docs/kubernetes.yaml").text()).split(image)).toHaveLength(3);
    expect(await Bun.file("CHANGELOG.md").text()).toContain(`## ${packageJson.version}\n`);
  });

  test.each(pages)("%s has only relative links whose file and heading exist", async (page) => {
    const text = withoutCode(await Bun.file(page).text());
    for (const [, target, anchor] of text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)) {
      const file = target === "" ? page : join(dirname(page), target!);
      expect([file, await Bun.file(file).exists()]).toEqual([file, true]);
      if (anchor !== undefined) expect(anchorsOf(await Bun.file(file).text())).toContain(anchor);
    }
  });

  test("has no page that the README does not link to", async () => {
    const readme = await Bun.file("README.md").text();
    for (const page of pages.filter((page) => page.startsWith("docs/")))
      expect(readme).toContain(`](${page})`);
  });

  test("observability.md explains each end of a connection that the access log names", async () => {
    const text = await Bun.file("docs/observability.md").text();
    const [, table] = text.split("\n| `end` | cause |\n");
    const rows = [...table!.matchAll(/^\| (`\w+`(?:, `\w+`)*) \|/gm)].map(([, cell]) => cell!);
    const named = rows.flatMap((cell) => cell.replaceAll("`", "").split(", "));
    expect(named).toEqual([...RELAY_ENDS]);
  });

  test("prometheus-rules.yaml passes promtool", async () => {
    const promtool = [requireTool("promtool"), "check", "rules", "docs/prometheus-rules.yaml"];
    const { status, stdout, stderr } = await run(promtool);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("SUCCESS: 10 rules found");
  });

  test.each(["prometheus-rules.yaml", "grafana-dashboard.json"])(
    "%s uses only metrics that exist",
    async (file) => {
      const names = metricsIn(await Bun.file(`docs/${file}`).text());
      expect(names.length).toBeGreaterThan(5);
      expect(names.filter((name) => !exists(name))).toEqual([]);
    },
  );

  test("grafana-dashboard.json has a query in each panel, and panels that do not overlap", async () => {
    const { panels } = await Bun.file("docs/grafana-dashboard.json").json();
    const cells = new Set<string>();
    for (const { targets, gridPos, title } of panels) {
      expect([title, targets.length > 0]).toEqual([title, true]);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(cells.has(`${x},${y}`)).toBe(false);
          cells.add(`${x},${y}`);
        }
      }
    }
  });

  test("kubernetes.yaml starts the gateway with flags that it takes, restricted and probed", async () => {
    const manifests = Bun.YAML.parse(await Bun.file("docs/kubernetes.yaml").text()) as any[];
    const containers = manifests.flatMap(({ spec }) => {
      const { containers, initContainers = [] } = spec.template?.spec ?? spec;
      return [...containers, ...initContainers].filter(({ name }) => name === "etcd-gateway");
    });
    expect(containers).toHaveLength(2);
    for (const { args, securityContext, livenessProbe, readinessProbe, ports } of containers) {
      const { given } = parseArgv(args);
      const readFile = () => "";
      const { config, warnings } = readConfig({ given, environment: {}, readFile });
      expect(warnings).toEqual([]);
      const metrics = ports.find(({ name }: { name: string }) => name === "metrics");
      expect(config.metrics).toEqual({ host: "0.0.0.0", port: metrics.containerPort });
      expect(livenessProbe.httpGet).toEqual({ path: "/livez", port: "metrics" });
      expect(readinessProbe.httpGet).toEqual({ path: "/readyz", port: "metrics" });
      expect(securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      });
    }
  });
});
