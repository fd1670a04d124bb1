"""Files of the site that stand elsewhere in the repository, where readers of the source look for them, or in no file:
_reference.py makes them when the site is built."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
# By their names on the site.
ELSEWHERE = {
    "index.md": "README.md",
    "architecture.md": "ARCHITECTURE.md",
    "contributing.md": "CONTRIBUTING.md",
    "changes.md": "CHANGES.md",
    "benchmarks.md": "benchmarks/README.md",
    "dashboard.md": "dashboard/README.md",
    "emqx.conf": "etc/emqx.conf",
    **{path.name: f"deploy/{path.name}" for path in sorted((ROOT / "deploy").iterdir())},
    **{path.name: f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("*.svg")},
}
# In the repository a link to a reference leads to what the reference is made from.
REFERENCES = {
    "etc/emqx.conf": "configuration-reference.md",
    "emqx_mgmt/cli/__init__.py": "cli-reference.md",
    "emqx_mgmt/api/openapi.py": "rest-reference.md",
    **{f"etc/plugins/{path.name}": f"configuration-reference.md#{path.stem}"
       for path in (ROOT / "etc" / "plugins").glob("*.conf")},
}
ON_THE_SITE = {source: page for page, source in ELSEWHERE.items()} | REFERENCES
LINK = re.compile(r"(?<=\]\()(?!https?:)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for page, source in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_bytes()))
    made = subprocess.run([sys.executable, ROOT / "docs" / "_reference.py"], check=True, capture_output=True, text=True)
    for page, text in json.loads(made.stdout).items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links are written for the repository; those between pages are turned into links of the site."""
    here = page.file.src_uri
    source = PurePosixPath(ELSEWHERE.get(here, f"docs/{here}"))

    def on_the_site(link: re.Match[str]) -> str:
        target = normpath(str(source.parent / link[1]))
        target = ON_THE_SITE.get(target, target.removeprefix("docs/"))
        return relpath(target, str(PurePosixPath(here).parent))

    return LINK.sub(on_the_site, markdown)
