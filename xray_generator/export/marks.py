"""The marks by which a file says that its image is synthetic, so that other programs and people can know it too.

A PNG has three: our notice, the `parameters` line that many image generators write and read, and an XMP packet with the
IPTC's digital source type. DICOM has those of `export.dicom`. A mark can be removed, and copied: it is no proof.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from PIL import Image as PILImage

from xray_generator import __version__
from xray_generator.dicom import is_dicom
from xray_generator.export.dicom import find_dicom_marks
from xray_generator.requests import describe_condition
from xray_generator.types import Edit, Morph, StudioError

if TYPE_CHECKING:
    from xray_generator.export.recipe import Recipe

KEY = "xray_studio_recipe"  # the text chunk with the recipe of one image
SEVERAL = "recipes"  # with those of several images, or of the image whose states are shown
PARAMETERS = "parameters"  # with the line for other programs; in earlier versions it held the recipe
XMP = "XML:com.adobe.xmp"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
SOFTWARE = f"xray_generator {__version__}"
PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmp:CreatorTool="{SOFTWARE}" Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def mark_chunks(description: str) -> dict[str, str]:
    """The text chunks of a PNG that mark it as synthetic, with a description that says so; the same each time."""
    return {"Description": description, "Software": SOFTWARE, XMP: PACKET}


def parameter_text(recipe: Recipe) -> str:
    """The prompt, and a line `Steps: 8, Sampler: dpm++, ...`, as AUTOMATIC1111 writes them and other programs read."""
    request, origin, adapters = recipe.request, recipe.origin, recipe.request.adapters
    facts = {
        "Steps": request.num_inference_steps,
        "Sampler": request.scheduler,
        "CFG scale": None if request.guidance_scale is None else f"{request.guidance_scale:g}",
        "Eta": f"{request.eta:g}" if request.eta else None,
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}",
        "Model hash": recipe.checkpoint.sha256[:10],
        "Model": recipe.checkpoint.name,
        "Denoising strength": f"{origin.strength:g}" if isinstance(origin, Edit) else None,
        "Morph weight": f"{origin.weight:g}" if isinstance(origin, Morph) else None,
        "Lora hashes": ", ".join(f"{one.adapter.name}: {one.adapter.sha256[:12]}" for one in adapters) or None,
        "Upscaler": recipe.upscaler and recipe.upscaler.name,
        "Preset": recipe.preset and recipe.preset.get("name"),
        "Version": SOFTWARE,
    }
    prompt = origin.prompt if isinstance(origin, Edit) else describe_condition(request.condition)
    prompt += "".join(f" <lora:{one.adapter.name}:{one.weight:g}>" for one in adapters)
    return f"{prompt}\n" + ", ".join(f"{key}: {_quote(value)}" for key, value in facts.items() if value is not None)


def _quote(value: object) -> str:
    """A value, in quotes where a sign in it would end it."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(sign in text for sign in ',:\n"') else text


def says_synthetic(data: bytes) -> bool:
    """Whether a file is marked as synthetic, by this studio or by the marks that others use too."""
    return bool(find_marks(data))


def find_marks(data: bytes) -> tuple[str, ...]:
    """The marks of a file that say that its image is synthetic, a phrase each; () where there is none."""
    try:
        if is_dicom(data):
            return find_dicom_marks(data)
        text = read_text_chunks(data)
    except StudioError:
        text = {}
    is_old = holds_old_recipe(text)
    found = {
        f"a recipe of this studio (text chunk {KEY})": KEY in text,
        f"a recipe of an earlier version of this studio (text chunk {PARAMETERS})": is_old,
        f"the recipes of several images (text chunk {SEVERAL})": SEVERAL in text,
        f"the settings of an image generator (text chunk {PARAMETERS})": PARAMETERS in text and not is_old,
        "the notice “Synthetic image” (text chunk Description)": "Synthetic" in text.get("Description", ""),
        "the digital source type trainedAlgorithmicMedia (XMP, IPTC)": SOURCE_TYPE.encode() in data,
    }
    return tuple(mark for mark, is_there in found.items() if is_there)


def holds_old_recipe(chunks: Mapping[str, str]) -> bool:
    """Whether the chunk that is now for other programs holds a recipe as JSON, as earlier versions wrote it."""
    return KEY not in chunks and chunks.get(PARAMETERS, "").lstrip().startswith("{")


def read_text_chunks(data: bytes) -> dict[str, str]:
    """The text chunks of a PNG; StudioError where it cannot be read as one."""
    try:
        chunks = getattr(PILImage.open(io.BytesIO(data), formats=["PNG"]), "text", {})
    except Exception as error:  # foreign bytes: a decoder may raise anything
        raise StudioError("This is not a PNG with a recipe.") from error
    return {str(name): str(text) for name, text in chunks.items()}
