"""The attribution that each image source asks for, also of models trained on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

TCIA = "Clark K et al. 2013, doi:10.1007/s10278-013-9622-7"  # TCIA asks for this citation with each of its collections
ATTRIBUTION = {
    "nih_chestxray14": "Data provided by the NIH Clinical Center, <https://nihcc.app.box.com/v/ChestXray-NIHCC>. "
    "Wang X et al., ChestX-ray8, IEEE CVPR 2017, 3462-3471. Many films came through the RSNA Pneumonia Detection "
    "Challenge 2018: Shih G et al., Radiology: Artificial Intelligence 2019, doi:10.1148/ryai.2019180041",
    "kermany_pediatric": "Kermany D, Zhang K, Goldbaum M, Mendeley Data V2, 2018, doi:10.17632/rscbjbr9sj.2",
    "hannover_covid": "Winther HB et al., COVID-19 Image Repository, Hannover Medical School, "
    "doi:10.6084/m9.figshare.12275009",
    "IQ-OTH/NCCD lung cancer dataset (Mendeley bhmdr45bh2)": "Alyasriy H, AL-Huseiny M, The IQ-OTH/NCCD lung cancer "
    "dataset, Mendeley Data V4, 2023, doi:10.17632/bhmdr45bh2.4",
    "TCIA LIDC-IDRI": f"Armato III SG et al. 2015, doi:10.7937/K9/TCIA.2015.LO9QL9SX; {TCIA}",
    "TCIA Lung-PET-CT-Dx": f"Li P et al. 2020, doi:10.7937/TCIA.2020.NNC2-0461; {TCIA}",
    "TCIA COVID-19-NY-SBU": f"Saltz J et al. 2021, doi:10.7937/TCIA.BBAG-2923; {TCIA}",
    "TCIA TCGA-LUAD": f"Albertina B et al. 2016, doi:10.7937/K9/TCIA.2016.JGNIHEP5; {TCIA}",
    "TCIA TCGA-LUSC": f"Kirk S et al. 2016, doi:10.7937/K9/TCIA.2016.TYGKKFMQ; {TCIA}",
    "PBC dataset normal DIB (Mendeley snkd93bnjr v1)": "Acevedo A et al., Data in Brief 30 (2020) 105474, "
    "doi:10.17632/snkd93bnjr.1",
    "Cheng brain tumor dataset (Figshare 1512427 v5)": "Cheng J, brain tumor dataset, Figshare 2017, "
    "doi:10.6084/m9.figshare.1512427.v5; Cheng J et al., PLoS ONE 10(10): e0140381, 2015, and 11(6): e0157112, 2016",
    "axonemes": "drawn, no patient: `python -m xray_generator.phantom` of this project",
}


def source_table(sources: Mapping[str, int], licenses: Mapping[str, str], what: str = "images") -> Iterator[str]:
    """Lines of a Markdown table: training images of each source, its license, and whom to name."""
    yield from (f"| source | training {what} | license | attribution |", "| --- | --- | --- | --- |")
    for name, count in sorted(sources.items()):
        license_name = licenses.get(name) or "not stated in the data"
        yield f"| {name or 'not stated'} | {count:,} | {license_name} | {ATTRIBUTION.get(name, 'see the data')} |"
