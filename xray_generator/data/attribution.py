"""Whom to name with the images of each source, and with whatever was learnt from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ATTRIBUTION = {
    "nih_chestxray14": "Data provided by the NIH Clinical Center, <https://nihcc.app.box.com/v/ChestXray-NIHCC>. "
    "Wang X et al., ChestX-ray8, IEEE CVPR 2017, 3462-3471",
    "kermany_pediatric": "Kermany D, Zhang K, Goldbaum M, Mendeley Data V2, 2018, doi:10.17632/rscbjbr9sj.2",
    "hannover_covid": "Winther HB et al., COVID-19 Image Repository, Hannover Medical School, "
    "doi:10.6084/m9.figshare.12275009",
    "PBC dataset normal DIB (Mendeley snkd93bnjr v1)": "Acevedo A et al., Data in Brief 30 (2020) 105474, "
    "doi:10.17632/snkd93bnjr.1",
    "axonemes": "drawn, no patient: `python -m xray_generator.phantom` of this project",
}


def source_table(data: Mapping[str, Any], what: str = "images") -> Iterator[str]:
    """Lines of a Markdown table of a manifest's `data`: training images of each source, its licence, whom to name."""
    yield from (f"| source | training {what} | licence | attribution |", "| --- | --- | --- | --- |")
    for name, count in sorted(data["sources"].items()):
        license_name = data["licenses"].get(name) or "not stated in the data"
        yield f"| {name or 'not stated'} | {count:,} | {license_name} | {ATTRIBUTION.get(name, 'see the data')} |"
