"""A record in plain words: `model_summary.md`, made of the record alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xray_generator.evaluation.measures import MEASURES, Measure
from xray_generator.evaluation.records import Measurement, Record

GROUPS = {
    "realism": "Do the images look real?",
    "detail": "Are they as sharp as real ones?",
    "diversity": "Are they as varied as real ones?",
    "prompts": "Do they show what was asked for?",
    "copies": "Does the model memorize training images?",
    "use": "Are they useful for training?",
    "structure": "Can its structure be learned, and is it drawn?",
    "reconstruction": "How well does the autoencoder reconstruct images?",
    "speed": "How fast and how large is the model?",
}
BETTER = {
    "higher": "higher is better",
    "lower": "lower is better",
    "real": "best as in real images",
    "chance": "a control: 0.5",
}
NOT_MEASURED = "not measured"
SUMMARY = "model_summary.md"  # file name
REAL, GENERATED = "#0072B2", "#D55E00"  # in every figure; of the palette by Okabe & Ito 2008, clear to all eyes
LONG = 2  # minutes from which a rough time is no longer told in seconds, and hours from which not in minutes
RADAR_LIMIT = 2.0  # times real; larger ratios lie on the rim
TABLES = {  # of a record -> title
    "enlargement": "Compared with interpolation",
    "ablations": "Ablations of sampling",
    "components": "Components",
    "attention": "Attention layers",
    "layers": "Layers",
    "closest_pairs": "The generated images closest to a training image",
    "confusion": "Confusion matrix of the reference classifier, against prompts and known labels",
    "class_confusion": "Confusion matrix of the classifier",
}
LONG_TABLES = ("layers", "closest_pairs", "confusion")  # which the summary leaves out
HEADER = ("measure", "of", "value", "95 % interval", "real images", "n", "real n", "read as", "measured by")


def summarize(record: Record) -> str:
    """The record as Markdown: a table for each question, an explanation of each measure, and the notes."""
    parts = [_heading(record)]
    for group, question in GROUPS.items():
        found = [m for m in record.measurements if known_measure(m).group == group]
        if found:
            parts.append(f"## {question}\n\n{_measurements(found)}")
    parts += [
        f"## {title}\n\n{markdown_table(record.tables[name])}"
        for name, title in TABLES.items()
        if name not in LONG_TABLES and record.tables.get(name)
    ]
    explained = [MEASURES[name] for name in dict.fromkeys(m.measure for m in record.measurements) if name in MEASURES]
    parts.append("## How to read the measures\n\n" + "\n".join(f"- **{m.title}**: {m.help}" for m in explained))
    if record.notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in record.notes))
    return "\n\n".join(parts) + "\n"


def _heading(record: Record) -> str:
    origin = "images of unknown origin"
    if record.checkpoint is not None:
        origin = f"checkpoint `{record.checkpoint.full_name}`, weights SHA-256 "
        origin += f"`{record.checkpoint.sha256[:12]}`"
    facts = "\n".join(f"- {name.replace('_', ' ')}: {_plain(value)}" for name, value in record.settings.items())
    return (
        f"# {record.subject}\n\nSynthetic images. Research and education only; not for diagnosis.\n\n"
        f"The `{record.suite}` suite on {origin}; {record.created}, code {record.commit}.\n\n{facts}"
    )


def _measurements(found: Sequence[Measurement]) -> str:
    measured = [m for m in found if m.value is not None]
    missing = [
        (known_measure(m).title, f" ({m.condition})" * bool(m.condition), m.reason) for m in found if m.value is None
    ]
    parts = [_rows(HEADER, (_cells(m) for m in measured))] if measured else []
    if missing:
        parts.append("Not measured:\n\n" + "\n".join(f"- {title}{of}: {reason}" for title, of, reason in missing))
    return "\n\n".join(parts)


def _cells(m: Measurement) -> tuple[str, ...]:
    interval = "" if m.interval is None else f"{_number(m.interval[0])} to {_number(m.interval[1])}"
    real = "" if m.real is None else _number(m.real)
    varied = ", ".join(f"{key.replace('_', ' ')} {_plain(m.settings[key])}" for key in VARIED if key in m.settings)
    return (
        known_measure(m).title,
        ", ".join(part for part in (m.condition, varied) if part) or "all",
        value_text(m),
        interval,
        real,
        f"{m.n:,}",
        f"{m.real_n:,}" if m.real_n else "",
        BETTER[known_measure(m).direction],
        m.extractor,
    )


def value_text(m: Measurement, value: float | None = None) -> str:
    """A measurement's value, or another value of the same measure, with its unit."""
    number = m.value if value is None else value
    if number is not None and known_measure(m).unit == "ms":
        return time_text(number)
    return NOT_MEASURED if number is None else f"{_number(number)} {known_measure(m).unit}".strip()


def time_text(milliseconds: float) -> str:
    """A time, or the difference of two, as people say it: "0.41 s", "58 s", "-12 s"."""
    seconds = milliseconds / 1_000
    size = abs(seconds)
    return f"{seconds:.2f} s" if size < 1 else f"{seconds:.1f} s" if size < 10 else f"{seconds:,.0f} s"


def rough_time(seconds: float) -> str:
    """A time to be waited for: "36 s", "4 min", "31 h"."""
    minutes = seconds / 60
    if minutes < LONG:
        return f"{max(1, seconds):.0f} s"
    return f"{minutes:.0f} min" if minutes / 60 < LONG else f"{minutes / 60:.0f} h"


def count_text(count: int, noun: str) -> str:
    """ "1 step", "4 steps": a count with its noun, which forms its plural with s."""
    return f"{count:,} {noun}{'s'[: count != 1]}"


def known_measure(m: Measurement) -> Measure:
    """The measure's description; a stub for one that a later version added."""
    return MEASURES.get(m.measure) or Measure(m.measure, "real", "", group="realism")


VARIED = ("scheduler", "steps", "guidance_scale", "num_inference_steps", "network_evaluations", "real_images_a_class")


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table of rows with equal keys, the names of the columns."""
    return _rows(tuple(rows[0]), (tuple(_plain(value) for value in row.values()) for row in rows))


def _rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_plain(part)}" for key, part in value.items())
    if value is None:
        return NOT_MEASURED
    return _number(value) if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
