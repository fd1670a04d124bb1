// Builds the dashboard into ../emqx_mgmt/dashboard/dist: index.html, and assets/ with names that have a hash of the
// content, each also as .gz. The same sources give the same bytes. `--generate` writes src/generated alone, for tsc.
import { build } from "esbuild";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "../emqx_mgmt/dashboard/dist");
const generated = join(here, "src/generated");
const LANGUAGES = ["en", "zh"];
// Asked for with the page itself, so that the first load is not a chain of requests.
const FIRST = ["src/main.tsx"];

function sorted(folder, suffix) {
  return readdirSync(join(here, folder)).filter((name) => name.endsWith(suffix)).sort();
}

/** All files of a language as one table; a key may stand in one file only. */
function locale(language) {
  const texts = {};
  for (const name of sorted(`locales/${language}`, ".json")) {
    for (const [key, text] of Object.entries(JSON.parse(readFileSync(join(here, "locales", language, name), "utf8")))) {
      if (key in texts) throw new Error(`locales/${language}/${name}: ${key} stands in another file too.`);
      texts[key] = text;
    }
  }
  return texts;
}

function generate() {
  rmSync(generated, { recursive: true, force: true });
  mkdirSync(generated);
  const [first, ...others] = LANGUAGES.map(locale);
  others.forEach((texts, index) => {
    const missing = Object.keys(first).filter((key) => !(key in texts));
    const spare = Object.keys(texts).filter((key) => !(key in first));
    if (missing.length || spare.length)
      throw new Error(`locales/${LANGUAGES[index + 1]}: missing [${missing}], not in ${LANGUAGES[0]} [${spare}].`);
  });
  LANGUAGES.forEach((language) =>
    writeFileSync(join(generated, `${language}.json`), JSON.stringify(locale(language), null, 1)));
  const files = sorted(`locales/${LANGUAGES[0]}`, ".json");
  writeFileSync(join(generated, "keys.ts"), `export type Key =\n${files.map((name) =>
    `  | keyof typeof import("../../locales/${LANGUAGES[0]}/${name}")`).join("\n")};\n`);
  const pages = sorted("src/pages", ".tsx").map((name) => basename(name, ".tsx"));
  writeFileSync(join(generated, "pages.ts"), [
    `import type { ComponentType } from "preact";`,
    `type Chunk = () => Promise<{ default: ComponentType }>;`,
    `export const pages: { readonly [place: string]: Chunk | undefined } = {`,
    ...pages.map((name) => `  ${JSON.stringify(name)}: () => import("../pages/${name}"),`),
    `};\n`].join("\n"));
}

/** The licences of the packages that went in, as their authors wrote them. */
function licences(inputs) {
  const packages = new Set();
  for (const path of Object.keys(inputs)) {
    const found = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path);
    if (found) packages.add(found[1]);
  }
  return [...packages].sort().map((name) => {
    const folder = join(here, "node_modules", name);
    const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).filter((one) => /^licen[cs]e/i.test(one)).sort()[0];
    const text = file ? readFileSync(join(folder, file), "utf8").trim() : `Licence: ${about.license}`;
    return `${name} ${about.version} (${about.license})\n\n${text}\n`;
  }).join(`\n${"-".repeat(80)}\n\n`);
}

function hashed(name, bytes) {
  const hash = createHash("sha256").update(bytes).digest("base64url").replaceAll("-", "_").slice(0, 8);
  return name.replace(/(\.\w+)$/, `-${hash}$1`);
}

/** Gives the name that the file of src has among the assets. */
function copied(file) {
  const bytes = readFileSync(join(here, "src", file));
  const name = hashed(file, bytes);
  writeFileSync(join(out, "assets", name), bytes);
  return name;
}

/** Gives the worker's name, which must stand before what names it is built. */
async function worker() {
  const { outputFiles } = await build({ ...common, entryPoints: ["src/live-worker.ts"], write: false, metafile: false });
  const name = hashed("live-worker.js", outputFiles[0].contents);
  writeFileSync(join(out, "assets", name), outputFiles[0].contents);
  return name;
}

/** Says of each page that it needs the frame, which is there before any page: what they share is then one chunk, where
 * esbuild would make one for each set of pages that share something with the frame. */
const framed = {
  name: "framed",
  setup({ onLoad }) {
    onLoad({ filter: /\/src\/pages\/[^/]+\.tsx$/ }, ({ path }) =>
      ({ contents: `import "../frame/frame";\n${readFileSync(path, "utf8")}`, loader: "tsx" }));
  },
};

const common = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
  jsx: "automatic",
  jsxImportSource: "preact",
};

async function main() {
  generate();
  if (process.argv.includes("--generate")) return;
  rmSync(out, { recursive: true, force: true });
  mkdirSync(join(out, "assets"), { recursive: true });
  const icons = copied("icons.svg");
  const { metafile } = await build({
    ...common,
    entryPoints: [...FIRST, "src/style.css"],
    outdir: join(out, "assets"),
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    splitting: true,
    plugins: [framed],
    metafile: true,
    define: { WORKER: JSON.stringify(`assets/${await worker()}`), ICONS: JSON.stringify(`assets/${icons}`) },
  });
  const outputs = Object.entries(metafile.outputs);
  const named = (source) => {
    const [path] = outputs.find(([, output]) => output.entryPoint === source);
    return `assets/${relative(join(out, "assets"), join(here, path))}`;
  };
  const script = outputs.find(([, output]) => output.entryPoint === FIRST[0]);
  const with_it = script[1].imports.filter((one) => one.kind === "import-statement")
    .map((one) => `assets/${basename(one.path)}`).sort();
  const page = readFileSync(join(here, "src/index.html"), "utf8")
    .replace("FAVICON", `assets/${copied("favicon.svg")}`)
    .replace("STYLE", named("src/style.css"))
    .replace("SCRIPT", named(FIRST[0]))
    .replace("PRELOADS", with_it.map((path) => `<link rel="modulepreload" href="${path}">`).join("\n"));
  writeFileSync(join(out, "index.html"), page);
  writeFileSync(join(out, "assets/licences.txt"), licences(metafile.inputs));
  for (const name of readdirSync(join(out, "assets")).sort()) {
    const bytes = readFileSync(join(out, "assets", name));
    writeFileSync(join(out, "assets", `${name}.gz`), gzipSync(bytes, { level: 9 }));
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
