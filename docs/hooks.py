"""What the site of the documents holds: the pages of `nav`, and whatever they link to, at the places of the repository.

So one relative link serves who reads the repository and who reads the site, and a strict build finds those that lead
nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")
REFERENCE = "reference/"
Nav = str | list["Nav"] | dict[str, "Nav"]  # a file, or titles of what follows


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the files of the theme, then follow the links; what is not there is left to the build to complain about."""
    root = Path(config.config_file_path).resolve().parent
    found = {file.src_uri: file for file in files if file.src_dir != config.docs_dir}
    waiting = [*pages(config.nav)]
    while waiting:
        place = waiting.pop()
        path = root / place
        if place in found:
            continue
        if place.startswith(REFERENCE):
            module = place.removeprefix(REFERENCE).removesuffix(".md")
            found[place] = File.generated(config, place, content=f"---\ntitle: {module}\n---\n\n::: {module}\n")
        elif path.is_file():
            found[place] = File.generated(config, place, abs_src_path=str(path))
            if path.suffix == ".md":
                targets = [(path.parent / name).resolve() for name in LINK.findall(path.read_text(encoding="utf-8"))]
                waiting += [target.relative_to(root).as_posix() for target in targets if target.is_relative_to(root)]
    return Files(found.values())


def pages(nav: Nav) -> Iterator[str]:
    """The files that a navigation names, however deep."""
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from pages(part)
