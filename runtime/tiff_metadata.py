"""What the channels of a TIFF mean and how large its pixels are, as far as its tags can be believed."""

from __future__ import annotations

import re
from contextlib import suppress

import numpy as np
import tifffile

from unetctl.runtime.errors import DataError
from unetctl.runtime.image import numbered_channels
from unetctl.runtime.ome_xml import UNITS_UM, square_um

MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6

COLOURS = {
    RGB: ("red", "green", "blue"),
    SEPARATED: ("cyan", "magenta", "yellow", "black"),
    MIN_IS_BLACK: ("gray",),
    PALETTE: ("gray",),
}

JPEGS = frozenset((6, 7, 33007, 34892))
"""Compressions whose luminance and chrominance tifffile turns into red, green and blue."""

APERIO_YCBCR = 33003

RESOLUTION_UM = {2: 25_400.0, 3: 10_000.0}
"""Micrometres in the units of the ResolutionUnit tag: inch, centimetre."""

MICROSCOPE_UM = (0.005, 20.0)
"""Pixel sizes that the resolution tags are believed: 72 or 300 dots per inch are a printer's default, not a measure."""


def check_photometric(page: tifffile.TiffPage, path: str) -> None:
    """Refuse pixels that are not intensities, or not in a colour space that a network has seen. Raises `DataError`."""
    found, hint = "", "save it as gray or RGB"
    if page.photometric == PALETTE:
        if not _is_ramp(page):
            found = "its pixels are numbers of a colour table (palette), not intensities"
    elif 262 not in page.tags and page.compression not in JPEGS:
        found = "it does not say what its values mean (PhotometricInterpretation is missing)"
    elif page.photometric == MIN_IS_WHITE:
        found, hint = "its zero is white (MinIsWhite)", "invert it and save it with black as zero (MinIsBlack)"
    elif page.compression == APERIO_YCBCR or (page.photometric == YCBCR and page.compression not in JPEGS):
        found = "its pixels are luminance and chrominance (YCbCr)"
    elif page.photometric not in (*COLOURS, YCBCR):
        found = f"its colour space ({getattr(page.photometric, 'name', page.photometric)}) is not read"
    if found:
        raise DataError(f"{path}: {found}", cause="pixels are not converted in silence", hint=hint)


def _is_ramp(page: tifffile.TiffPage) -> bool:
    """Tell whether a palette only shows intensities in a colour, as ImageJ saves them: brighter with every number."""
    colours = np.asarray(page.colormap, np.int64)
    rising = np.diff(colours)
    return (
        colours.ndim == 2 and colours.shape[1] >= 256 and bool((rising >= 0).all() and (rising.sum(axis=0) > 0).all())
    )


def sample_names(page: tifffile.TiffPage) -> tuple[str, ...]:
    """Name the samples of a pixel; those beyond the colours are alpha where the file says so or it is usual."""
    colours = COLOURS[RGB if page.photometric == YCBCR else page.photometric]
    samples = page.samplesperpixel
    if samples < len(colours):
        return colours if samples == len(colours) else numbered_channels(samples)
    extras = [int(kind) for kind in page.extrasamples[: samples - len(colours)]]
    extras += [0] * (samples - len(colours) - len(extras))
    if page.photometric == MIN_IS_BLACK and not any(extras) and samples > 1:
        return numbered_channels(samples)
    return (*colours, *("alpha" if kind in (1, 2) else f"extra {index}" for index, kind in enumerate(extras)))


def pixel_size_um(file: tifffile.TiffFile, page: tifffile.TiffPage) -> float | None:
    """Return the pixel size from Aperio's description, ImageJ's unit, or plausible resolution tags."""
    if file.is_svs:
        found = re.search(r"\bMPP\s*=\s*(\d*[.,]?\d+)", page.description)
        size_um = float(found[1].replace(",", ".")) if found else None
        return square_um(size_um, size_um)
    across, down = _per_unit(page, 282), _per_unit(page, 283)
    if across is None or down is None:
        return None
    if file.is_imagej:
        unit = str((file.imagej_metadata or {}).get("unit", "")).strip().replace("\\u00B5", "µ")
        unit_um = {"micron": 1.0, "microns": 1.0, "micrometer": 1.0, **UNITS_UM}.get(unit)
        return square_um(unit_um / across, unit_um / down) if unit_um else None
    unit_um = RESOLUTION_UM.get(int(page.tags.valueof(296, default=2)))
    size_um = square_um(unit_um / across, unit_um / down) if unit_um else None
    return size_um if size_um is not None and MICROSCOPE_UM[0] <= size_um <= MICROSCOPE_UM[1] else None


def _per_unit(page: tifffile.TiffPage, code: int) -> float | None:
    value = page.tags.valueof(code)
    with suppress(TypeError, ValueError, ZeroDivisionError):
        per_unit = float(value[0]) / float(value[1])
        return per_unit if per_unit > 0 else None
    return None
