"""The site of the documents is built strictly: each link leads somewhere, and no page asks a foreign server."""

import re
import subprocess
import sys
from pathlib import Path

from tests.test_house import ROOT

FOREIGN = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=["']?(?:https?:)?//""")
LINK = re.compile(r"""<(?:a|img|link|script)\b[^>]*?\b(?:src|href)="((?!\w+:|//)[^"#?]+)""")


def test_the_site_is_built_and_needs_no_network(tmp_path: Path) -> None:
    # no --quiet: it would also keep the strict build from hearing a warning
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    build = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stdout + build.stderr
    pages = {page: page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html")}
    assert not [page.name for page, text in pages.items() if FOREIGN.search(text)]
    lost = {
        f"{page.relative_to(tmp_path)}: {link}"
        for page, text in pages.items()
        for link in LINK.findall(text)
        if page.name != "404.html" and not (page.parent / link).exists()
    }
    assert not lost
    assert (tmp_path / "outputs" / "visualizations" / "generator_page.png").is_file()  # a picture of the README
    reference = pages[tmp_path / "reference" / "xray_generator.types.html"]
    assert 'id="xray_generator.types.GenerationRequest"' in reference and "num_inference_steps" in reference
