// Tests of the parts that need no browser: those in tests/, bundled and run by Node's own runner.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = mkdtempSync(join(tmpdir(), "dashboard-tests-"));
try {
  await build({
    absWorkingDir: here, bundle: true, format: "esm", platform: "node", target: "node20", outdir: out, outExtension: { ".js": ".mjs" },
    inject: ["tests/window.js"], jsx: "automatic", jsxImportSource: "preact", logLevel: "warning",
    entryPoints: readdirSync(join(here, "tests")).filter((name) => name.endsWith(".test.ts")).map((name) => `tests/${name}`),
  });
  const files = readdirSync(out).map((name) => join(out, name));
  process.exitCode = spawnSync(process.execPath, ["--test", ...files], { stdio: "inherit" }).status ?? 1;
} finally {
  rmSync(out, { recursive: true });
}
