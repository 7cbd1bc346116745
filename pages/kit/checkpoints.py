"""The checkpoint picker, with a card of what is known about the chosen one, and what it is good and bad at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import streamlit as st

from pages.kit.services import Stamped, escape_markdown, studio
from xray_generator.checkpoints import Manifest
from xray_generator.config import dump
from xray_generator.dashboards.board import Board, read_board
from xray_generator.dashboards.strengths import find_strengths
from xray_generator.data.naming import checkpoint_title, class_titles, plain, stage_title
from xray_generator.evaluation.records import SUFFIX, Record
from xray_generator.evaluation.summary import NOT_MEASURED
from xray_generator.gallery import find_sample
from xray_generator.registry import get_family, reads_prompts
from xray_generator.types import Ability, StudioError

KEY = "checkpoint"  # of the session: all pages share the choice
HERE = "checkpoint of this page"  # the choice on a page that cannot use every checkpoint
BEGIN = "begin"  # of the session: the Generator is to draw at once
WORDS = {
    "train": "training images",
    "val": "validation images",
    "test": "test images",
    "num_images": "number of images",
    "n": "number of images",
    "psnr_db": "PSNR in dB",
    "bicubic_psnr_db": "PSNR of bicubic interpolation in dB",
    "ssim": "SSIM",
    "inversion_rmse": "error after inversion (RMSE)",
}  # for keys of the measurements at release
CAN_DO: dict[Ability, str] = {
    "morph": "can interpolate between images",
    "edit": "can edit images",
    "attend": "shows where the words of a prompt act",
    "trace": "shows its trajectory from noise to image",
    "likelihood": "gives likelihoods",
    "encode": "has an autoencoder",
    "traverse": "has latents to explore",
    "noise_schedule": "has a noise schedule",
    "ablate": "has ablations",
    "enlarge": "enlarges images",
    "adapt": "can be adapted",
    "predict": "shows what its denoiser hears",
}


def pick_checkpoint(ability: Ability | None = None, *, prompted: bool = False) -> Manifest:
    """Draw the picker and the card's button; return the chosen manifest.

    A page that cannot use the checkpoint that is chosen on others shows another one and leaves their choice alone.

    Args:
        ability: only checkpoints that have it.
        prompted: only checkpoints that draw from a prompt.

    Raises:
        StudioError: there is no such checkpoint.
    """
    studio().manifest()  # says what to do where there is no checkpoint at all
    manifests = {m.name: m for m in studio().checkpoints(ability) if not prompted or reads_prompts(m)}
    if not manifests:
        wanted = "reads a prompt" if prompted else CAN_DO[ability] if ability else "draws images"
        raise StudioError(f"No checkpoint here {wanted}. Train one with `python -m xray_generator.train`.")
    key = HERE if ability or prompted else KEY
    if st.session_state.get(KEY) in manifests:
        st.session_state[key] = st.session_state[KEY]
    elif st.session_state.get(key) not in manifests:
        st.session_state.pop(key, None)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        manifest = pick_model(manifests, key, on_change=_share, args=(key,))
        st.button("About", key="card", on_click=_draw_card, args=(manifest,))
    return manifest


def pick_model(manifests: Mapping[str, Manifest], key: str, **options: Any) -> Manifest:  # noqa: ANN401 - of st.selectbox
    """Draw the choice among checkpoints, each by its title and name; `options` are those of `st.selectbox`."""
    name = st.selectbox(
        "Model",
        list(manifests),
        key=key,
        format_func=lambda name: f"{checkpoint_title(manifests[name])} · {manifests[name].name}",
        persist_state="session",
        **options,
    )
    return manifests[name]


def open_generator(name: str) -> NoReturn:
    """Turn to the Generator with a checkpoint chosen; it begins to draw at once."""
    st.session_state.update({KEY: name, BEGIN: True})
    st.switch_page("create/generate.py")


def draw_strengths(manifest: Manifest, *, is_short: bool = False) -> None:
    """Draw what a checkpoint is good and bad at as its record tells, or that it was not measured.

    In short: in a line or two, with the figures one click away.
    """
    found = find_strengths(_load_board(), manifest.ref, class_titles(manifest.labels))
    if found and is_short:
        st.markdown(escape_markdown(found.summary()))
        with st.expander("With figures"):
            draw_strengths(manifest)
        return
    lines = found.sentences() if found else (f"What this model is good and bad at: {NOT_MEASURED}.",)
    st.caption("  \n".join(map(escape_markdown, lines)))


def find_best_record(manifest: Manifest) -> Record | None:
    """The best record of a checkpoint, see `Board.find`; None: it was not measured."""
    return _load_board().find(manifest.ref)


def _load_board() -> Board:
    folder = studio().metrics_dir
    return _read_board(folder, tuple(map(Stamped.of, sorted(folder.glob(f"*{SUFFIX}")))))


@st.cache_resource(max_entries=2, show_spinner=False, hash_funcs={Stamped: hash})
def _read_board(folder: Path, files: tuple[Stamped, ...]) -> Board:  # noqa: ARG001 - read again when these change
    return read_board(folder, ())


def _share(key: str) -> None:
    st.session_state[KEY] = st.session_state[key]


@st.dialog("About this model", width="large")
def _draw_card(manifest: Manifest) -> None:
    picture, text = st.columns([1, 3], gap="medium")
    sample = find_sample(studio().sample_dir(manifest.name), manifest)
    if sample is not None:
        picture.image(sample, "Synthetic", width="stretch", alt="An image that this model drew")
    with text:
        st.markdown(f"**{escape_markdown(checkpoint_title(manifest))}**")
        draw_strengths(manifest)
    titles, data = studio().class_titles(manifest.ref.full_name), manifest.data
    facts = {
        "Name": manifest.name,
        "Kind": get_family(manifest.family).title,
        "Classes": "; ".join(f"{title} ({name})" for name, title in titles.items()),
        "Training images": f"{data.num_train:,}",
        "Images for validation and test": f"{data.num_val:,} and {data.num_test:,}",
        "Sources": "; ".join(f"{name or 'not stated'} ({count:,})" for name, count in data.sources.items()),
        "License of the data": manifest.license,
        **{f"Training steps, {stage_title(stage)}": f"{count:,}" for stage, count in manifest.steps.items()},
        "Code commit": manifest.commit,
        "SHA-256 of the weights": manifest.ref.sha256,
    }
    facts = {name: value for name, value in facts.items() if value}
    st.dataframe({"Fact": list(facts), "Value": list(facts.values())}, hide_index=True, width="stretch")
    metrics = dict(_flatten(dump(manifest.metrics))) or {"All metrics": NOT_MEASURED}
    st.dataframe({"Metric": list(metrics), "Measured": list(metrics.values())}, hide_index=True, width="stretch")


def _flatten(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each leaf of a nested mapping: its path in words, and its value as text."""
    for name, value in tree.items():
        label = f"{prefix}{WORDS.get(name) or plain(name)}"
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{label}, ")
        elif isinstance(value, list):
            yield label, f"{len(value):,} values"
        elif value is not None:
            yield label, f"{value:.4g}" if isinstance(value, float) else str(value)
