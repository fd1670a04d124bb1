"""Files of the site that stand elsewhere in the repository, where readers of the source look for them."""

from __future__ import annotations

import re
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
    "emqx.conf": "etc/emqx.conf",
    **{path.name: f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("*.svg")},
}
ON_THE_SITE = {source: page for page, source in ELSEWHERE.items()}
LINK = re.compile(r"(?<=\]\()(?!https?:)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for page, source in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_bytes()))
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
