"""What an OME-TIFF says of itself, read from its XML after a look at whether the file can keep what the XML promises.

Multi-file sets are refused: a name in a file is not a reason to open another one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from unetctl.runtime.errors import DataError, RefusedError
from unetctl.runtime.ome_tiff import PROVENANCE_KEY
from unetctl.runtime.random_access import translated

MAX_SIZE = 2**31
MAX_MODULO = 100_000

UNITS_UM = {"m": 1e6, "cm": 1e4, "mm": 1e3, "um": 1.0, "nm": 1e-3, "pm": 1e-6, "Å": 1e-4}
UNITS_UM |= {"\u00b5m": 1.0, "\u03bcm": 1.0}  # the micro sign, and the Greek letter that looks the same


@dataclass(frozen=True, slots=True, kw_only=True)
class OmeImage:
    """One image of the file."""

    name: str
    pixel_size_um: float | None
    channel_names: tuple[str, ...]
    """Names of the channels that have one; `()` unless all have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OmeFacts:
    """What is used of the XML."""

    images: tuple[OmeImage, ...]
    provenance: str | None


def looks_like_ome(description: str) -> bool:
    """Tell whether an ImageDescription means to be OME-XML, even if it is damaged."""
    head = description[:4096].lstrip("\ufeff \t\r\n")
    return head.startswith("<") and ("<OME" in head or ":OME" in head)


def read_ome(description: str, *, path: Path, pages: int) -> OmeFacts:
    """Read OME-XML; `pages` is what the file has. Raises `DataError`, and `RefusedError` for a set of several files."""
    if "<!DOCTYPE" in description or "<!ENTITY" in description:
        raise DataError(f"{path}: its OME-XML declares a document type, which OME-XML has not")
    with translated(f"{path}: its OME-XML is damaged", hint="save the image again, or copy it again"):
        root = ElementTree.fromstring(description)
        if any(_tag(element) == "BinaryOnly" for element in root):
            raise RefusedError(
                f"{path}: this is one file of a set (OME-TIFF), whose description is in another",
                hint="save the set as one file, for example with bfconvert",
            )
        _check_one_file(root, path)
        _check_modulo(root, path)
        images = tuple(_read_image(element, path=path, pages=pages) for element in root if _tag(element) == "Image")
    return OmeFacts(images=images, provenance=_provenance(root))


def _check_one_file(root: ElementTree.Element, path: Path) -> None:
    """Refuse XML that names another file; a file that was renamed is known by its own UUID."""
    own = root.attrib.get("UUID")
    for element in root.iter():
        if _tag(element) != "UUID" or (own is not None and element.text == own):
            continue
        name = element.attrib.get("FileName", "")
        if own is not None or name.lower() != path.name.lower():
            raise RefusedError(
                f"{path}: its OME-XML takes pixels from another file: {name[:80]!r}",
                cause="files that are named inside a file are not opened",
                hint="save the set as one file, for example with bfconvert",
            )


def _check_modulo(root: ElementTree.Element, path: Path) -> None:
    """Refuse axes within axes (ModuloAlongT, ...) of more positions than a file can have."""
    for element in root.iter():
        if _tag(element).startswith("ModuloAlong") and "Start" in element.attrib:
            start, end, step = (float(element.attrib.get(key, 1)) for key in ("Start", "End", "Step"))
            if not 0 <= (end - start) / step < MAX_MODULO:
                raise DataError(f"{path}: its OME-XML gives an axis from {start} to {end} in steps of {step}")


def _read_image(image: ElementTree.Element, *, path: Path, pages: int) -> OmeImage:
    pixels = next((element for element in image if _tag(element) == "Pixels"), None)
    if pixels is None:
        raise DataError(f"{path}: an image in its OME-XML has no pixels")
    sizes = {axis: int(pixels.attrib["Size" + axis]) for axis in "XYZCT"}
    if wrong := [axis for axis, size in sizes.items() if not 0 < size < MAX_SIZE]:
        raise DataError(f"{path}: its OME-XML gives Size{wrong[0]} as {sizes[wrong[0]]}")
    channels = [element for element in pixels if _tag(element) == "Channel"]
    samples = int(channels[0].attrib.get("SamplesPerPixel", 1)) if channels else 1
    planes = sizes["T"] * sizes["Z"] * max(1, sizes["C"] // max(1, samples))
    for data in (element for element in pixels if _tag(element) == "TiffData"):
        first, count = int(data.attrib.get("IFD", 0)), int(data.attrib.get("PlaneCount", 0))
        if first < 0 or count < 0 or first + count > pages:
            raise DataError(f"{path}: its OME-XML names page {first + count}, and the file has {pages}")
    if planes > pages:
        raise DataError(
            f"{path}: its OME-XML promises {planes:,} planes, and the file has {pages:,}",
            hint="copy it again: it is damaged, incomplete, or one of several files",
        )
    names = tuple(element.attrib.get("Name", "") for element in channels)
    return OmeImage(
        name=image.attrib.get("Name", ""),
        pixel_size_um=square_um(_length_um(pixels, "X"), _length_um(pixels, "Y")),
        channel_names=names if all(names) else (),
    )


def _length_um(pixels: ElementTree.Element, axis: str) -> float | None:
    unit = UNITS_UM.get(pixels.attrib.get(f"PhysicalSize{axis}Unit", "µm"))
    try:
        return float(pixels.attrib[f"PhysicalSize{axis}"]) * unit if unit else None
    except (KeyError, ValueError):
        return None


def square_um(x_um: float | None, y_um: float | None) -> float | None:
    """Return the side of a pixel if it is known, plausible for a microscope, and the same within 1 % in x and y."""
    if x_um is None or y_um is None or not (1e-4 <= x_um <= 1e3 and 1e-4 <= y_um <= 1e3):  # NaN fails too
        return None
    return x_um if math.isclose(x_um, y_um, rel_tol=0.01) else None


def _provenance(root: ElementTree.Element) -> str | None:
    entries: Iterator[ElementTree.Element] = (element for element in root.iter() if _tag(element) == "M")
    return next((element.text for element in entries if element.attrib.get("K") == PROVENANCE_KEY), None)


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
