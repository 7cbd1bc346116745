"""Croissant metadata of a set (MLCommons, version 1.0): a machine reads from it what the tables and the images are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xray_generator.sets.columns import COLUMNS, KINDS, MEANING
from xray_generator.sets.plan import IMAGES, Series
from xray_generator.sets.summary import Summary
from xray_generator.types import NOTICE

CROISSANT = "croissant.json"
TYPES: Mapping[type, str] = {str: "sc:Text", int: "sc:Integer", float: "sc:Float", bool: "sc:Boolean"}
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{
        name: f"cr:{name}"
        for name in (
            *("citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet"),
            *("format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
            *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField"),
            "transform",
        )
    },
}


def croissant(series: Series, summary: Summary, labels_sha256: str) -> dict[str, Any]:
    """The JSON-LD of a set; `labels_sha256` is the hash of its labels.csv."""
    plan, checkpoint = series.plan, series.manifest.ref.full_name
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": plan.name,
        "description": f"{NOTICE} {summary.num_images:,} images drawn by {checkpoint}.",
        "license": plan.license,
        "version": "1.0.0",
        "keywords": ["synthetic", "medical images"],
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "labels.csv",
                "name": "labels.csv",
                "contentUrl": "labels.csv",
                "encodingFormat": "text/csv",
                "sha256": labels_sha256,
            },
            {
                "@type": "cr:FileSet",
                "@id": "image-files",
                "name": "image-files",
                "encodingFormat": "image/png",
                "includes": f"{IMAGES}/**/*.png",
            },
        ],
        "recordSet": _record_sets(),
        "rai:dataCollection": f"Drawn by a generative model, {checkpoint}; no image shows a patient.",
        "rai:dataLimitations": "Labels are what the model was asked for. Not for diagnosis.",
    }


def _record_sets() -> list[dict[str, Any]]:
    return [
        {
            "@type": "cr:RecordSet",
            "@id": "labels",
            "name": "labels",
            "description": "One line an image; its hash is in sha256.",
            "key": {"@id": "labels/file_name"},
            "field": [_column(name) for name in COLUMNS],
        },
        {
            "@type": "cr:RecordSet",
            "@id": "images",
            "name": "images",
            "description": "The images; file_name is that of labels.",
            "field": [
                _property("file_name", "sc:Text", "fullpath", MEANING["file_name"]),
                _property("image", "sc:ImageObject", "content", "8-bit gray"),
            ],
        },
    ]


def _column(name: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"labels/{name}",
        "name": name,
        "description": MEANING[name],
        "dataType": TYPES[KINDS.get(name, str)],
        "source": {"fileObject": {"@id": "labels.csv"}, "extract": {"column": name}},
    }


def _property(name: str, kind: str, file_property: str, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"images/{name}",
        "name": name,
        "description": description,
        "dataType": kind,
        "source": {"fileSet": {"@id": "image-files"}, "extract": {"fileProperty": file_property}},
    }
