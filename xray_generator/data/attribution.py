"""Whom to name with the images of each source, and with whatever was learnt from them."""

from __future__ import annotations

ATTRIBUTION = {
    "nih_chestxray14": "Data provided by the NIH Clinical Center, <https://nihcc.app.box.com/v/ChestXray-NIHCC>. "
    "Wang X et al., ChestX-ray8, IEEE CVPR 2017, 3462-3471",
    "kermany_pediatric": "Kermany D, Zhang K, Goldbaum M, Mendeley Data V2, 2018, doi:10.17632/rscbjbr9sj.2",
    "hannover_covid": "Winther HB et al., COVID-19 Image Repository, Hannover Medical School, "
    "doi:10.6084/m9.figshare.12275009",
}
