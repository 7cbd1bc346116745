"""The networks of the Model analysis page: architecture, noise schedule, and what the autoencoder keeps of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
import streamlit as st

from pages.kit.charts import GENERATED, OTHERS, REAL, counts, draw, lines
from pages.kit.facts import draw_facts, draw_tiles
from pages.kit.images import pick_upload
from pages.kit.services import escape_markdown, find_dataset_for, studio
from xray_generator.checkpoints import Manifest
from xray_generator.data.exploration import fingerprint
from xray_generator.data.rows import Dataset
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.records import Curve
from xray_generator.evaluation.summary import known_measure, value_text
from xray_generator.registry import offers
from xray_generator.types import MAX_STEPS, Image

if TYPE_CHECKING:  # these modules import torch
    from xray_generator.experiments.inspection import Anatomy, NoiseView
    from xray_generator.experiments.reconstruction import Reconstruction, Reconstructions

HASHES: dict[str | type, Callable[[Any], Any]] = {Manifest: attrgetter("ref"), ImageSet: attrgetter("digest")}


# Architecture

INDENT = "\u2003"
FIRST_DEPTH = 2


def draw_architecture(manifest: Manifest) -> None:
    """Draw components, layers and attention layers."""
    anatomy = _dissect(manifest)
    parts = anatomy.components
    formats = parts[0].memory_mb if parts else {}
    totals = {
        "Parameters": f"{sum(part.parameters for part in parts):,}",
        "Trainable": f"{sum(part.trainable for part in parts):,}",
        **{f"Weights in {name}": f"{sum(part.memory_mb[name] for part in parts):,.1f} MB" for name in formats},
    }
    draw_facts(totals)
    table, chart = st.columns([3, 2], gap="medium")
    with table:
        columns = {
            "Component": [_title(part.name) for part in parts],
            "Class": [part.kind for part in parts],
            "Parameters": [part.parameters for part in parts],
            "Trainable": [part.trainable for part in parts],
            **{f"{name} (MB)": [round(part.memory_mb[name], 1) for part in parts] for name in formats},
        }
        _draw_table(columns, "model_components")
    with chart:
        draw(counts({_title(part.name): part.parameters for part in parts}, "parameters"), "model_parts", 180)
    _draw_layers(anatomy)
    _draw_attention(anatomy)


@st.cache_resource(max_entries=4, show_spinner="Loading the model and counting its parts", hash_funcs=HASHES)
def _dissect(manifest: Manifest) -> Anatomy:
    from xray_generator.experiments.inspection import dissect, probe_request

    return studio().task(dissect, probe_request(manifest), checkpoint=manifest.ref.full_name)()


def _draw_layers(anatomy: Anatomy) -> None:
    st.markdown("**Layers**")
    names = [part.name for part in anatomy.components]
    left, right = st.columns(2, gap="medium", vertical_alignment="bottom")
    chosen = left.pills(
        "Components",
        names,
        selection_mode="multi",
        default=names,
        key=f"model_layers_of {' '.join(names)}",
        format_func=_title,
        persist_state="session",
    )
    depth = right.slider(
        "Levels",
        0,
        max(1, anatomy.depth),
        min(FIRST_DEPTH, max(1, anatomy.depth)),
        key=f"model_depth {anatomy.depth}",
        persist_state="session",
        help="How many levels of the tree are shown below the components.",
    )
    parts = [part for part in anatomy.components if part.name in chosen]
    layers = [(level, layer) for part in parts for level, layer in part.layers.flat() if level <= depth]
    columns = {
        "Layer": [INDENT * level + layer.name for level, layer in layers],
        "Class": [layer.kind for _, layer in layers],
        "Parameters": [layer.parameters for _, layer in layers],
    }
    _draw_table(columns, "model_layers", height=480)


def _draw_attention(anatomy: Anatomy) -> None:
    st.markdown("**Attention layers**")
    sites = anatomy.attention
    if not sites:
        st.info("No attention layers of diffusers were found in this model.")
        return
    st.caption(f"Feature maps with attention: {', '.join(dict.fromkeys(s.resolution for s in sites))} positions.")
    columns = {
        "Component": [_title(site.component) for site in sites],
        "Layer": [site.path for site in sites],
        "Resolution": [site.resolution for site in sites],
        "Heads": [site.heads for site in sites],
        "Attends to": ["prompt (cross-attention)" if site.is_cross else "image (self-attention)" for site in sites],
    }
    _draw_table(columns, "model_attention")


def _draw_table(columns: dict[str, Any], key: str, **options: Any) -> None:  # noqa: ANN401 - those of st.dataframe
    numbers = {name: st.column_config.NumberColumn(format="localized") for name in ("Parameters", "Trainable")}
    st.dataframe(columns, hide_index=True, width="stretch", key=key, column_config=numbers, **options)


def _title(name: str) -> str:
    return name.replace("_", " ")


# Noise schedule

COLORS = {"signal": REAL, "noise": OTHERS[4], "log SNR": REAL}


def draw_noise(manifest: Manifest) -> None:
    """Draw the noise schedule, and the timesteps that a scheduler visits."""
    if not offers(manifest, "noise_schedule"):
        st.info("This model has no noise schedule.")
        return
    recommended = manifest.recommended
    left, right = st.columns(2)
    scheduler = left.selectbox(
        "Scheduler",
        manifest.schedulers,
        manifest.schedulers.index(recommended.scheduler),
        key=f"model_scheduler {' '.join(manifest.schedulers)}",
        persist_state="session",
    )
    steps = right.number_input(
        "Steps",
        1,
        MAX_STEPS,
        recommended.num_inference_steps,
        key=f"model_noise_steps {manifest.name}",
        persist_state="session",
    )
    view = _view_noise(manifest, scheduler, steps)
    shares, ratio = st.columns(2, gap="medium")
    with shares:
        st.markdown("**Signal and noise**")
        draw(_mark(view.shares, view.visited_shares, "signal"), "model_shares")
    with ratio:
        st.markdown("**Signal-to-noise ratio**")
        draw(_mark(view.log_snr, view.visited_log_snr, "log SNR"), "model_log_snr")
    st.caption(
        "Left: the shares of image (alpha bar) and noise in the variance at each training timestep. Right: the natural "
        "logarithm of their ratio. Dots mark where the scheduler calls the network, from right (noise) to left (image)."
    )
    visited = view.visited_shares
    with st.expander(f"The {len(visited.x):,} visited timesteps"):
        table = {
            "Step": list(range(1, len(visited.x) + 1)),
            "Timestep": list(visited.x),
            "Share of signal": list(visited.lines["signal"]),
            "Log SNR": list(view.visited_log_snr.lines["log SNR"]),
        }
        st.dataframe(table, hide_index=True, width="stretch")


@st.cache_resource(max_entries=16, show_spinner="Reading the noise schedule", hash_funcs=HASHES)
def _view_noise(manifest: Manifest, scheduler: str, steps: int) -> NoiseView:
    from xray_generator.experiments.inspection import view_noise

    return studio().task(view_noise, scheduler, steps, checkpoint=manifest.ref.full_name)()


def _mark(curve: Curve, visited: Curve, name: str) -> go.Figure:
    """The curve with dots at the visited timesteps."""
    figure = lines(curve)
    for line, color in COLORS.items():
        figure.update_traces(line={"color": color}, selector={"name": line})
    marker = {"color": GENERATED, "size": 7}
    figure.add_scatter(x=visited.x, y=visited.lines[name], name="visited in sampling", mode="markers", marker=marker)
    return figure


# Autoencoder

SOURCES = ("Test images", "Upload")
MAX_SHOWN = 8
PER_IMAGE = ("psnr", "ssim")  # measures in the heading of an image


def draw_autoencoder(manifest: Manifest) -> None:
    """Draw real images, their reconstructions, the differences and the latents."""
    if not offers(manifest, "encode"):
        st.info("This model has no autoencoder.")
        return
    images = _pick_images(manifest)
    if images is None:
        return
    found = _reconstruct(manifest, images)
    for skipped in found.skipped:
        st.warning(escape_markdown(skipped))
    draw_tiles(found.measurements, per_row=len(found.measurements))
    channels, height, width = found.latent_shape
    st.caption(
        f"The model generates latents, {channels} channels of {height} x {width}, that its autoencoder decodes to "
        "pixels. Detail that is lost here is lost in every generated image. Each latent channel is shown from its "
        "minimum (black) to its maximum (white)."
    )
    for place, item in enumerate(found.items):
        _draw_reconstruction(item, place)


def _pick_images(manifest: Manifest) -> ImageSet | None:
    """Draw the picker; None until there is an image."""
    size = manifest.sizes[0]
    left, right = st.columns([1, 3], gap="medium", vertical_alignment="bottom")
    source = left.segmented_control(
        "Images", SOURCES, default=SOURCES[0], required=True, key="model_source", persist_state="session"
    )
    if source == "Upload":
        from xray_generator.experiments.reconstruction import single_image

        upload = pick_upload("model", place=right)
        return None if upload is None else single_image(upload.image, size, upload.origin)
    dataset = find_dataset_for(manifest)
    rows = dataset.split("test")
    if not rows:
        right.info("No dataset here has test images of what this model draws. Upload one instead.")
        return None
    count_field, button = right.columns([3, 1], vertical_alignment="bottom")
    most = min(MAX_SHOWN, len(rows))
    count = count_field.number_input(
        f"Number of images, of {len(rows):,} unseen in training",
        1,
        most,
        min(3, most),
        key=f"model_num_images {most}",
        persist_state="session",
    )
    first = st.session_state.get("model_first_image", 0)
    button.button(
        "Show others",
        key="model_others",
        on_click=st.session_state.__setitem__,
        args=("model_first_image", first + 1),
        width="stretch",
    )
    return _read_images(dataset, size, count, first)


@st.cache_data(
    max_entries=8, show_spinner=False, hash_funcs={Dataset: lambda dataset: fingerprint(dataset.split("test"))}
)
def _read_images(dataset: Dataset, size: int, count: int, first: int) -> ImageSet:
    from xray_generator.experiments.reconstruction import pick_images

    return pick_images(dataset.split("test"), size, count, first)


@st.cache_resource(max_entries=8, show_spinner="Encoding and decoding the images", scope="session", hash_funcs=HASHES)
def _reconstruct(manifest: Manifest, images: ImageSet) -> Reconstructions:
    from xray_generator.experiments.reconstruction import reconstruct

    return studio().task(reconstruct, images, checkpoint=manifest.ref.full_name)()


def _draw_reconstruction(item: Reconstruction, place: int) -> None:
    from xray_generator.experiments.reconstruction import GAIN

    with st.container(border=True, key=f"model_pair_{place}"):
        shown = (m for m in item.measurements if m.measure in PER_IMAGE)
        measured = " · ".join(f"{known_measure(m).title} {value_text(m)}" for m in shown)
        st.caption(escape_markdown(f"{item.name} · {measured}"))
        images, latents = st.columns([3, 2], gap="medium")
        pictures = {
            "Original": item.original,
            "Reconstruction": item.reconstruction,
            f"Difference x {GAIN:g}": item.difference,
        }
        with images:
            _draw_pictures(pictures.items(), item.name, 3, 90)
        with latents:
            _draw_pictures(((f"Latent {i}", latent) for i, latent in enumerate(item.latents, 1)), item.name, 4, 70)


def _draw_pictures(pictures: Iterable[tuple[str, Image]], name: str, columns: int, min_width: int) -> None:
    grid = st.grid(columns, min_column_width=min_width)
    for label, picture in pictures:
        with grid.cell():
            st.image(picture, label, width="stretch", output_format="PNG", alt=f"{label}: {name}")
