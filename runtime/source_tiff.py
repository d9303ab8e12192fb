"""TIFF in all its layouts as an `ImageSource`: tifffile groups the pages and knows the codecs, this does the reading.

tifffile's own `asarray` decodes whole pages and fills what is missing with zeros; here only the chunks under a window
are decoded, from several threads at once, and what is missing is an error.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import tifffile
from numpy.typing import NDArray

from unetctl.runtime.chunk_cache import ChunkCache
from unetctl.runtime.coded_size import SIZE_READERS
from unetctl.runtime.errors import DataError
from unetctl.runtime.image import ImageInfo, check_read, choose_channels, numbered_channels
from unetctl.runtime.ome_xml import OmeFacts, looks_like_ome, read_ome
from unetctl.runtime.plan import Window
from unetctl.runtime.random_access import RandomAccessFile, translated
from unetctl.runtime.reads import ReadGrid
from unetctl.runtime.tiff_directories import check_directories
from unetctl.runtime.tiff_layout import TiffLayout, choose_layout
from unetctl.runtime.tiff_metadata import JPEGS, check_photometric, pixel_size_um, sample_names
from unetctl.runtime.tiff_page import DAMAGED, PageGeometry, check_table, page_geometry
from unetctl.runtime.tiff_pixels import ChunkedPixels, PagePixels, Picks, RowPixels, row_pixels

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it warns of is an error here, said once


class TiffSource:
    """An open TIFF. Made by `open_tiff`."""

    def __init__(
        self,
        file: RandomAccessFile,
        *,
        info: ImageInfo,
        layout: TiffLayout,
        geometry: PageGeometry,
        picks: Mapping[int, Picks],
    ) -> None:
        self.info = info
        self.cache = ChunkCache()
        self._file = file
        self._layout = layout
        self._geometry = geometry
        self._picks = picks
        self._pages: dict[int, PagePixels] = {}

    def read(self, plane: int, window: Window, out: NDArray[np.generic]) -> None:
        """Fill `out`, `[C, h, w]`, with a window inside the image."""
        check_read(self.info, plane, window, out)
        for channel_page, picks in self._picks.items():
            self._page(plane, channel_page).read(window, picks, out)

    def limit_cache(self, cache_bytes: int, reads: ReadGrid | None = None) -> None:
        """Keep at most so many bytes of decoded chunks, and in any case the last one."""
        self.cache.limit(cache_bytes, reads)

    def close(self) -> None:
        """Close the file and forget what was decoded."""
        self.cache.clear()
        self._file.close()

    def _page(self, plane: int, channel_page: int) -> PagePixels:
        index = self._layout.page_index(plane, channel_page)
        with self._file.position:  # tifffile's reading of tags moves it
            page = self._pages.get(index)
            if page is None:
                page = self._pages[index] = self._open_page(index, plane)
            return page

    def _open_page(self, index: int, plane: int) -> PagePixels:
        where = self.info.path if self.info.planes == 1 else f"{self.info.path}, plane {plane}"
        geometry, layout = self._geometry, self._layout
        if layout.contiguous_offset is not None:
            parts = geometry.samples if geometry.separate else 1
            part_bytes = geometry.page_bytes // parts
            starts = [layout.contiguous_offset + (index * parts + part) * part_bytes for part in range(parts)]
            return RowPixels(file=self._file, geometry=geometry, strip_rows=geometry.height, offsets=starts)
        page = layout.pages[index]
        with translated(f"{where}: its page cannot be read"):
            if isinstance(page, tifffile.TiffFrame):
                page = layout.keyframe if page.is_virtual else page.aspage()
                if page.hash != layout.keyframe.hash:
                    raise DataError(f"{where}: its page is not like the first one")
            offsets, counts = layout.pages[index].dataoffsets, layout.pages[index].databytecounts
            geometry = page_geometry(page, where)
        if geometry.as_stored is not None:
            return row_pixels(self._file, geometry, offsets, counts, where=where)
        with translated(f"{where}: its compression cannot be read"):
            is_jpeg = page.compression in JPEGS
            tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if is_jpeg else {}
            decode = page.decode
        return ChunkedPixels(
            file=self._file,
            cache=self.cache,
            geometry=geometry,
            number=index,
            where=where,
            offsets=offsets,
            counts=counts,
            no_data=page.nodata,
            decode=decode,
            tables=tables,
            coded_yx=SIZE_READERS.get(page.compression) if page.jpegheader is None else None,
        )


def open_tiff(
    file: RandomAccessFile, *, series: int | None, level: int, channels: tuple[int, ...] | None, sparse: bool
) -> TiffSource:
    """Open a TIFF, of which only directories are read. Raises `DataError`, `RefusedError` and `UsageError`."""
    path = str(file.path)
    directories = check_directories(file)
    file.stream.seek(0)
    with translated(f"{path}: this TIFF is damaged, or of a kind that is not read", hint=DAMAGED):
        tiff = tifffile.TiffFile(
            file.stream, _multifile=False, is_ndpi=directories.is_ndpi, is_mmstack=False, is_ndtiff=False
        )
        ome: OmeFacts | None = None
        if looks_like_ome(tiff.pages.first.description):
            ome = read_ome(tiff.pages.first.description, path=file.path, pages=directories.count)
        layout = choose_layout(tiff, path=path, series=series, level=level)
        if ome is not None and (layout.kind != "ome" or len(tiff.series) != len(ome.images)):
            raise DataError(f"{path}: its OME-XML contradicts its pages", hint="save the image again, or copy it again")
        if tiff.is_imagej and layout.kind not in ("imagej", "ome"):  # tifffile would go on with the first plane
            raise DataError(f"{path}: ImageJ's description of its planes contradicts the file", hint=DAMAGED)
        geometry = page_geometry(layout.keyframe, path)
        check_photometric(layout.keyframe, path)
        costliest, decoder_bytes = _check_pages(layout, geometry, file, sparse=sparse)
        image = ome.images[layout.series] if ome is not None else None
        names = _channel_names(layout, image.channel_names if image is not None else ())
        size_um = image.pixel_size_um if image is not None else pixel_size_um(tiff, tiff.pages.first)
    indices = choose_channels(path, names, channels)
    picks: dict[int, list[tuple[int, int]]] = {}
    for channel, index in enumerate(indices):
        channel_page, sample = divmod(index, geometry.samples)
        picks.setdefault(channel_page, []).append((channel, sample))
    chunks = sum(len(one) if costliest.separate else 1 for one in picks.values())
    info = ImageInfo(
        path=path,
        format="TIFF",
        plane_axes=layout.plane_axes,
        channels=len(indices),
        channel_names=tuple(names[index] for index in indices),
        height=geometry.height,
        width=geometry.width,
        dtype=geometry.dtype.name,
        pixel_size_um=size_um * layout.scale if size_um is not None else None,
        chunk_yx=costliest.chunk_yx if costliest.decoded_bytes else (1, geometry.width),
        chunk_bytes=chunks * costliest.decoded_bytes,
        decoder_bytes=decoder_bytes,
        made_by=ome.provenance if ome is not None else None,
    )
    return TiffSource(file, info=info, layout=layout, geometry=geometry, picks=picks)


def _check_pages(
    layout: TiffLayout, first: PageGeometry, file: RandomAccessFile, *, sparse: bool
) -> tuple[PageGeometry, int]:
    """Check every plane, before hours are spent on the first ones: like the first, and its chunks in the file.

    Returns the geometry whose chunks take the most memory, as pages may be compressed in different ways, and what
    decoding one takes besides: the chunk as the file holds it, and a copy where tifffile turns the bytes around.
    """
    if layout.contiguous_offset is not None:
        end = layout.contiguous_offset + layout.page_count * first.page_bytes
        if first.as_stored is None or end > file.size:
            cause = f"they would end at byte {end:,}, and the file at {file.size:,}"
            raise DataError(f"{file.path}: its {layout.page_count:,} planes are incomplete", cause=cause, hint=DAMAGED)
        return first, 0
    costliest, largest = first, 0
    swapped = not first.dtype.newbyteorder(layout.keyframe.parent.byteorder).isnative
    for index, page in enumerate(layout.pages):
        where = str(file.path) if len(layout.pages) == 1 else f"{file.path}, page {index}"
        geometry = first  # what tifffile takes for like the first page is checked when it is read
        if isinstance(page, tifffile.TiffPage):
            geometry = page_geometry(page, where)
            check_photometric(page, where)
        if not geometry.has_pixels_like(first):
            raise DataError(f"{where}: its page is not like the first one")
        table = page.dataoffsets, page.databytecounts
        check_table(geometry, *table, where=where, file_bytes=file.size, sparse=sparse)
        costliest = max(costliest, geometry, key=lambda one: one.decoded_bytes)
        if geometry.decoded_bytes:
            largest = max(largest, max(page.databytecounts))
    return costliest, largest + swapped * costliest.decoded_bytes


def _channel_names(layout: TiffLayout, ome_names: tuple[str, ...]) -> tuple[str, ...]:
    samples = sample_names(layout.keyframe)
    pages = layout.page_channels
    if len(ome_names) == pages * len(samples):
        return ome_names
    if pages == 1:
        return samples
    names = ome_names if len(ome_names) == pages else numbered_channels(pages)
    return tuple(f"{name} {sample}" if len(samples) > 1 else name for name in names for sample in samples)
