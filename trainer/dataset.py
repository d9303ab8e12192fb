"""The images and labels of a project, read and checked whole before the first step.

Everything is held in memory (an image's own bytes and three more a pixel), because every step cuts from another one.
What is wrong is collected over all files and told at once: a data set with twelve bad files should not take twelve
runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.errors import DataError, ResourceError
from unetctl.runtime.spec import Normalisation, PixelType, Scope
from unetctl.runtime.statistics import Statistics, array_statistics
from unetctl.runtime.system import free_memory_bytes
from unetctl.trainer.config import Config
from unetctl.trainer.label_values import ClassMap, border_class, class_map
from unetctl.trainer.pairs import find_pairs
from unetctl.trainer.raw_pairs import RawPair, RawPairs, read_pairs
from unetctl.trainer.split import Parts, split_pairs
from unetctl.trainer.weight_map import border_weights, connected_regions, separate

SHOWN_PROBLEMS = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """An image with its truth, ready to be sampled."""

    name: str
    image: NDArray[Any]
    """`[C, H, W]` uint8 or uint16"""
    labels: NDArray[np.uint8]
    """`[H, W]`, classes"""
    border: NDArray[np.float16]
    """`[H, W]`, the border term of the weight map; half precision is finer than any choice of w0"""
    shift: NDArray[np.float32]
    """`[C]`: `(pixel - shift) * scale` is what the network sees"""
    scale: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """All pairs, in three parts, and what they have in common."""

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...]
    classes: ClassMap
    channel_names: tuple[str, ...]
    pixel_type: PixelType
    normalisation: Normalisation
    pixel_size_um: float | None
    fingerprint: str
    """SHA-256 of all pixels, labels and the split: a run is continued only on the same data."""
    notices: tuple[str, ...]
    """What was concluded and should be said aloud."""

    def class_pixels(self) -> NDArray[np.int64]:
        """Count the training pixels of each class."""
        count = len(self.classes.classes)
        counts = [np.bincount(pair.labels.ravel(), minlength=count) for pair in self.train]
        total: NDArray[np.int64] = np.array(counts, np.int64).sum(axis=0)
        return total


def load_dataset(config: Config) -> Dataset:
    """Read and check all pairs of the project.

    Raises `MissingInputError`, `UsageError` for an impossible split, `ResourceError` if the memory is too small, and
    `DataError` that names every bad file.
    """
    found = find_pairs(config.resolve(config.data.images), config.resolve(config.data.labels))
    raw = read_pairs(found.pairs, check_bytes=_check_memory)
    problems = [*found.problems, *raw.problems]
    _refuse(problems)
    values = sorted(set().union(*(pair.label_values for pair in raw.pairs)))
    classes = class_map(config, values)
    problems = [
        f"{pair.label_path}: values that mean no class: {', '.join(map(str, unknown[:8]))}"
        for pair in raw.pairs
        if (unknown := classes.unknown(pair.label_values))
    ]
    _refuse(problems)
    parts = split_pairs([pair.stem for pair in raw.pairs], config.data)
    missing = _missing_classes(raw, parts, classes)
    size, size_notice = _pixel_size(config, raw)
    notices = [*found.notices, classes.notice, missing, size_notice, _cells_notice(config, classes)]

    statistics = [array_statistics(pair.image) for pair in raw.pairs]
    normalisation = Normalisation(scope=Scope(config.data.normalise))
    if normalisation.scope is Scope.MODEL:
        common = _pooled([(statistics[k], raw.pairs[k].labels.size) for k in parts.train])
        statistics = [common] * len(statistics)
        normalisation = Normalisation(scope=Scope.MODEL, shift=common.shift, scale=common.scale)
    needed = {*parts.train, *parts.validation, *parts.test}
    pairs = {k: _prepare(raw.pairs[k], statistics[k], classes, config) for k in sorted(needed)}
    return Dataset(
        train=tuple(pairs[k] for k in parts.train),
        validation=tuple(pairs[k] for k in parts.validation),
        test=tuple(pairs[k] for k in parts.test),
        classes=classes,
        channel_names=raw.channel_names,
        pixel_type=_pixel_type(raw, normalisation),
        normalisation=normalisation,
        pixel_size_um=size,
        fingerprint=_fingerprint(pairs, parts),
        notices=tuple(notice for notice in notices if notice),
    )


def _refuse(problems: Sequence[str]) -> None:
    """Raise one error that names every problem, the first of them in full."""
    if not problems:
        return
    lines = [f"    {problem}" for problem in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"    ... and {len(problems) - SHOWN_PROBLEMS} more")
    raise DataError(
        "\n".join([f"the data cannot be trained on: {len(problems)} problem(s)", *lines]),
        hint="correct or remove these files, then train again",
    )


def _check_memory(pixel_bytes: int, label_pixels: int) -> None:
    needed, free = pixel_bytes + 3 * label_pixels, free_memory_bytes()
    if needed > 0.8 * free:
        raise ResourceError(
            f"the data need {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free",
            cause="training holds all images in memory",
            hint="train on fewer or smaller images: cut large ones into pieces",
        )


def _prepare(raw: RawPair, statistics: Statistics, classes: ClassMap, config: Config) -> Pair:
    labels = classes.to_classes(raw.labels)
    border = np.zeros(labels.shape, np.float16)
    if config.data.kind == "instances":
        cells = separate(raw.labels)
        labels = classes.to_classes(cells)
    elif config.border_weight:
        cells = connected_regions(labels == border_class(config, classes))
    if config.border_weight:
        sigma = config.train.border_sigma
        border = border_weights(cells, weight=config.border_weight, sigma_px=sigma).astype(np.float16)
    return Pair(
        name=raw.name,
        image=raw.image,
        labels=labels,
        border=border,
        shift=np.array(statistics.shift, np.float32),
        scale=np.array(statistics.scale, np.float32),
    )


def _pixel_type(raw: RawPairs, normalisation: Normalisation) -> PixelType:
    """Return the dtype that the model takes: that of its images, or both where each image gives its own scale.

    Then a gray value means nothing by itself, and 16 bits hold those of 8 too.
    """
    return PixelType.UINT16 if normalisation.scope is Scope.IMAGE else PixelType(raw.pairs[0].image.dtype.name)


def _pooled(parts: Sequence[tuple[Statistics, int]]) -> Statistics:
    """Return the statistics of all pixels of several images from those of each and its number of pixels."""
    counts = np.array([count for _, count in parts], np.float64)[:, None]
    means = np.array([one.shift for one, _ in parts])
    deviations = np.array([one.scale for one, _ in parts]) ** -1.0
    mean = (counts * means).sum(axis=0) / counts.sum()
    variance = (counts * (deviations**2 + (means - mean) ** 2)).sum(axis=0) / counts.sum()
    return Statistics(shift=tuple(mean.tolist()), scale=tuple((1 / np.sqrt(variance)).tolist()))


def _missing_classes(raw: RawPairs, parts: Parts, classes: ClassMap) -> str:
    """Name the classes that no training pair shows; refuse labels that show a single class only."""
    seen = set().union(*(raw.pairs[k].label_values for k in parts.train))
    if classes.values:
        absent = [c.name for c, values in zip(classes.classes, classes.values, strict=True) if not seen & set(values)]
    else:
        absent = [classes.classes[1].name] if seen <= {0} else []
    if len(absent) > len(classes.classes) - 2 and len(seen) < 2:
        raise DataError(
            "the training labels hold a single class",
            cause=f"there is no pixel of {', '.join(absent)}",
            hint="check the values under [[classes]] and the split under [data]",
        )
    return f"no training label shows {', '.join(absent)}: it cannot be learnt" if absent else ""


def _pixel_size(config: Config, raw: RawPairs) -> tuple[float | None, str]:
    """Return the pixel size of the toml, or that of all images that say one, and a notice if they disagree."""
    sizes = [pair.pixel_size_um for pair in raw.pairs if pair.pixel_size_um]
    if config.data.pixel_size_um is not None:
        return config.data.pixel_size_um, ""
    if not sizes:
        return None, ""
    if max(sizes) > 1.01 * min(sizes):
        return None, (
            f"pixel sizes from {min(sizes):.4g} to {max(sizes):.4g} um: the model will not know its own; "
            "set pixel_size_um under [data] if that is wrong"
        )
    return float(np.median(sizes)), ""


def _cells_notice(config: Config, classes: ClassMap) -> str:
    if config.data.kind == "instances" or not config.border_weight or config.train.border_class is not None:
        return ""
    name = classes.classes[border_class(config, classes)].name
    return f"weight map: connected regions of {name!r} are taken as the cells; [train] border_class names another"


def _fingerprint(pairs: dict[int, Pair], parts: Parts) -> str:
    digest = hashlib.sha256(repr((parts.train, parts.validation, parts.test)).encode())
    for pair in pairs.values():
        digest.update(f"{pair.name} {pair.image.shape} {pair.image.dtype}".encode())
        digest.update(np.ascontiguousarray(pair.image).data)
        digest.update(pair.labels.data)
    return digest.hexdigest()
