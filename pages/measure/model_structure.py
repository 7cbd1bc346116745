"""Whether a model can learn the structure of images, draws it, and hears each word: a tab of Model analysis."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

from pages.kit.charts import GENERATED, OTHERS, REAL, bars, draw, label
from pages.kit.facts import draw_tile
from pages.kit.services import escape_markdown
from pages.measure.records import draw_origin, find_record
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.board import COMMAND
from xray_generator.dashboards.structure import Denial, Structure, read_structure
from xray_generator.evaluation.records import Curve
from xray_generator.evaluation.summary import NOT_MEASURED

UNMEASURED = NOT_MEASURED.capitalize()
WHOLE = {
    "linear_v_error": (
        "How much is easy to learn",
        "A filter that looks at each frequency alone already removes some of the noise; what it leaves, the network "
        "must learn the hard way. Good: low. Bad: near 1, because then no coarse outline helps the model to begin.",
    ),
    "latent_fragility": (
        "How much harm small errors do",
        "What a model draws is never exact. Here real images are decoded after a small error in their latents. Good: "
        "a loss near 0 dB. Bad: 6 dB and more, because 6 dB doubles the error of the picture.",
    ),
}
BANDS_TEXT = (
    "4 to 8 cycles hold the heart and the chest wall, 8 to 16 the ribs, 32 and more the texture. Good: 1, as in real "
    "images. Below 1 it is missing, above 1 there is noise or a pattern. “From noise” is a whole drawing. “From middle "
    "noise” begins with a real image that was noised half: if only the whole drawing is far from 1, the model refines "
    "well but cannot lay out an image; if both are, it does not draw such detail at all."
)
FACTS_TEXT = (
    "One fact of the prompt is changed while the noise stays. Good: well above 0, so the model hears the fact. Bad: "
    "near 0, so it draws the same whatever the prompt says. “Effusion to no effusion” should move the prediction about "
    "as far as “normal to pleural effusion” does."
)
DENIED_TEXT = (
    "How probable the classifier holds a finding, where the prompt names it, denies it (“no pleural effusion”) or says "
    "normal. Good: denied is as low as normal. Bad: denied is as high as named, so “no” is not heard."
)


def draw_structure(manifest: Manifest) -> None:
    """Draw what the best record of a checkpoint tells; one line where it tells nothing."""
    record = find_record(manifest)
    if record is None:
        st.caption(f"{UNMEASURED}: there is no record of this model. One is made by")
        st.code(f"{COMMAND} --checkpoint {manifest.name}", language="bash")
        return
    found = read_structure(record)
    if not (found.whole or found.bands or found.responses or found.denials):
        st.caption(f"{UNMEASURED}: the record of {record.created[:10]} has none of these measures. A new one has them:")
        st.code(f"{COMMAND} --checkpoint {manifest.name}", language="bash")
        return
    draw_origin(record, manifest)
    _draw_whole(found)
    if found.bands is not None:
        _draw_bands(found.bands, found.band_names)
    if found.responses:
        st.subheader("Which facts it hears", anchor=False)
        st.caption(FACTS_TEXT)
        draw(bars(found.responses, "share of the prediction"), "model_responses")
    if found.denials:
        _draw_denials(found.denials)
    if found.missing:
        st.caption(escape_markdown(f"{UNMEASURED}: {'; '.join(found.missing)}."))


def _draw_whole(found: Structure) -> None:
    shown = {name: m for name in WHOLE if (m := found.whole.get(name)) is not None}
    for column, (name, m) in zip(st.columns(2, gap="medium"), shown.items(), strict=False):
        title, text = WHOLE[name]
        with column:
            st.subheader(title, anchor=False)
            draw_tile(m)
            st.caption(text)


def _draw_bands(curve: Curve, bands: tuple[str, ...]) -> None:
    st.subheader("Which details are drawn, from coarse to fine", anchor=False)
    st.caption(BANDS_TEXT)
    figure = go.Figure()
    for (name, values), color in zip(curve.lines.items(), (GENERATED, *OTHERS), strict=False):
        figure.add_scatter(x=bands, y=values, name=label(name), mode="lines+markers", line={"color": color})
    figure.add_hline(1, line_color=REAL, line_dash="dot")
    figure.update_yaxes(title="times real", type="log")
    draw(figure, "model_bands")


def _draw_denials(denials: tuple[Denial, ...]) -> None:
    st.subheader("Whether it leaves out what the prompt denies", anchor=False)
    st.caption(DENIED_TEXT)
    table = {
        "Finding": [d.finding for d in denials],
        "Prompt names it": [_percent(d.stated) for d in denials],
        "Prompt denies it": [_percent(d.denied) for d in denials],
        "Prompt says normal": [_percent(d.normal) for d in denials],
        "Real images without it": [_percent(d.real) for d in denials],
        "In words": [d.verdict for d in denials],
        "Images each": [d.n for d in denials],
    }
    st.dataframe(table, hide_index=True, width="stretch", key="model_denials")


def _percent(share: float | None) -> str:
    return NOT_MEASURED if share is None else f"{share:.0%}"
