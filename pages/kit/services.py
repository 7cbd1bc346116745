"""What every page shares: the studio, the job queue and the dataset of this server, and text made safe to draw."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from pages.kit.person import person, presence
from postprocess.presets import PRESETS, Preset
from xray_generator.checkpoints import Manifest
from xray_generator.data.places import Place, find_places
from xray_generator.data.rows import Dataset, Row, class_names
from xray_generator.evaluation.summary import count_text as count_text  # pages take it from here
from xray_generator.jobs import JobQueue
from xray_generator.queues.choice import VARIABLE as BROKER
from xray_generator.queues.choice import open_queue
from xray_generator.studio import Studio
from xray_generator.types import StudioError

SHIPPED = Path("dataset")  # the samples of the repository
PRELOAD_AFTER_S = 2.0  # by then the page has been painted

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stamped:
    """A file at one point in time: an argument of cached functions that read it again once it was written anew."""

    path: Path
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> Stamped:
        """The file as it is now."""
        return cls(path, path.stat().st_mtime_ns)


@st.cache_resource(show_spinner=False)
def studio() -> Studio:
    """The studio of this server."""
    return Studio()


@st.cache_resource(show_spinner=False)
def job_queue() -> JobQueue:
    """The queue of this server. It has one worker, so one job runs at a time.

    Images that were asked for are drawn also where the server ends before; with a broker, by workers elsewhere.
    """
    try:
        return open_queue(studio(), os.environ.get(BROKER, ""), "app", presence().is_here)
    except StudioError as error:  # nothing can be asked for
        st.error(escape_markdown(error))
        st.stop()


def own_dir() -> Path:
    """Where the images of the person at this browser are kept, apart from those of others."""
    return studio().generated_dir / person()


def shared_dir() -> Path | None:
    """Where the command line and earlier versions kept images, of no person: for whoever sits at this machine alone.

    None: the browser is on another machine, or came through a proxy, so that it may be.
    """
    is_here = st.context.ip_address is None and "X-Forwarded-For" not in st.context.headers
    return studio().generated_dir if is_here else None


@st.cache_resource(show_spinner=False)
def preload(checkpoint_name: str) -> None:
    """Load a checkpoint in the background once the page has been painted, so that the first image comes sooner."""
    timer = threading.Timer(PRELOAD_AFTER_S, _load, (studio(), checkpoint_name))
    timer.daemon = True
    timer.start()


def _load(studio_: Studio, checkpoint_name: str) -> None:
    try:
        studio_.engine(checkpoint_name)
    except StudioError as error:
        logger.warning("cannot load %s: %s", checkpoint_name, error)  # the page shows it when an image is asked for


def encoders_key(folder: Path) -> str:
    """The reference encoders of a folder with their times of writing: part of the cache key of what they computed."""
    return " ".join(f"{path.parent.name} {path.stat().st_mtime_ns}" for path in sorted(folder.glob("*/manifest.json")))


def default_folder() -> Path:
    """The folder of this server's dataset: DATASET_PATH, or the sample that ships."""
    return Path(os.environ.get("DATASET_PATH", "dataset"))


def default_dataset() -> Dataset:
    """The dataset of this server, read again when its tables change.

    Raises:
        StudioError: no folder, an unknown layout, or a fault in a table.
    """
    return open_dataset(Place(default_folder()))


def default_rows() -> tuple[Row, ...]:
    """The images of this server's dataset. Errors as for `default_dataset`."""
    return default_dataset().rows


def find_datasets() -> tuple[Place, ...]:
    """The datasets of this server: that of `default_folder`, be it readable or not, those in it, and what ships."""
    found = {(default_folder().resolve(), False): Place(default_folder())}
    for root in (default_folder(), SHIPPED):
        for place in _find_places(root, _stamps(_folders(root))):
            found.setdefault((place.folder.resolve(), place.is_indiana), place)
    return tuple(found.values())


def open_dataset(place: Place) -> Dataset:
    """One of `find_datasets`, read again when its tables change, or its folders where it has none.

    Errors as for `default_dataset`.
    """
    return _read_dataset(place, _stamps(sorted(place.folder.glob("*.csv")) or _folders(place.folder)))


def find_dataset_for(manifest: Manifest) -> Dataset:
    """Real images such as a model learned from, of the datasets of this server.

    For a model with classes the images of them in the first that has all, empty if none has; for another one that of
    this server, or where it has no image of the model's sources the first that has. Errors as for `default_dataset`.
    """
    own = None if manifest.labels else default_dataset()
    for place in find_datasets():
        with suppress(StudioError):  # one that cannot be read says so in the dataset explorer
            dataset = open_dataset(place)
            if own and any(row.source in manifest.data.sources for row in dataset.rows):
                return dataset
            if manifest.labels and set(manifest.labels) <= set(class_names(dataset.rows)):
                return Dataset(tuple(row for row in dataset.rows if row.label in manifest.labels))
    return own or Dataset(())


def _folders(folder: Path) -> list[Path]:
    """A folder, where there is one, and the folders in it."""
    return [folder, *sorted(path for path in folder.iterdir() if path.is_dir())] if folder.is_dir() else []


def _stamps(paths: Iterable[Path]) -> tuple[Stamped, ...]:
    return tuple(map(Stamped.of, paths))


PLACES: dict[str | type, Callable[[object], int]] = {Stamped: hash, Place: hash}


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=PLACES)
def _find_places(root: Path, stamps: tuple[Stamped, ...]) -> tuple[Place, ...]:  # noqa: ARG001 - as below
    return find_places(root)


@st.cache_resource(max_entries=4, show_spinner="Reading the dataset", hash_funcs=PLACES)
def _read_dataset(place: Place, stamps: tuple[Stamped, ...]) -> Dataset:  # noqa: ARG001 - read again when these change
    return place.read()


def known_presets(*, is_silent: bool = False) -> tuple[Preset, ...]:
    """All presets, or the built-in ones where a saved one is damaged, which is said unless silent."""
    with suppress(StudioError) if is_silent else explain_faults():
        return studio().presets()
    return PRESETS


@contextmanager
def explain_faults(draw: Callable[[str], object] = st.error) -> Iterator[None]:
    """Draw what is inside, a block or a decorated function, or say why it cannot be drawn; what follows it goes on.

    `draw`: how it is said; `st.info` where it is no fault that there is nothing to draw.
    """
    try:
        yield
    except StudioError as error:
        draw(escape_markdown(error))
    except OSError as error:  # its own text names the server's folder
        name = Path(str(error.filename)).name if error.filename else "A file"
        draw(escape_markdown(f"{name} cannot be used: {error.strerror or 'it is damaged'}."))


def draw_fault(text: str) -> None:
    """Say what was wrong, where no `explain_faults` stands around it."""
    st.error(escape_markdown(text))


def escape_markdown(text: object) -> str:
    """`text` with the characters of Markdown escaped, so that it is drawn as it was written."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", str(text))
