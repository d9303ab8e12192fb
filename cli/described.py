"""What models and results say of themselves, in rows for people; `--json` has all of it.

The values come from files of anywhere, so nothing is taken for granted about those that are plain JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unetctl.cli.wording import counted, percent_text, safe_text, seconds_text, size_text, time_text
from unetctl.runtime.precision import QUANTISED_KEY
from unetctl.runtime.spec import Scope
from unetctl.runtime.tensorrt_library import TENSORRT
from unetctl.runtime.verdict import verdicts_of

if TYPE_CHECKING:
    from unetctl.runtime.engine_record import EngineRecord
    from unetctl.runtime.spec import ExportRecord, ModelSpec

Rows = list[tuple[str, str]]


def spec_rows(spec: ModelSpec) -> Rows:
    """Describe a network and its training."""
    by_model = spec.normalisation.scope is Scope.MODEL
    classes = (f"{index} = {one.name}" for index, one in enumerate(spec.classes))
    return [
        ("name", safe_text(spec.name)),
        ("network", f"U-Net of 2015, depth {spec.depth}, {spec.base_channels} channels at the first level"),
        (
            "takes",
            safe_text(f"{counted(len(spec.channels), 'channel')} ({', '.join(spec.channels)}), {spec.pixel_type}"),
        ),
        ("normalises", f"by mean and spread of {'its training pixels' if by_model else 'each plane'}"),
        ("gives", safe_text(", ".join(classes))),
        ("pixel size", f"{spec.pixel_size_um:g} µm" if spec.pixel_size_um else ""),
        ("trained", ", ".join([time_text(spec.created), *_training(spec.training)])),
        *_score_rows(spec.training.get("scores")),
        ("weights", spec.weights_sha256),
    ]


def record_rows(record: ExportRecord) -> Rows:
    """Describe an export."""
    return [
        ("exported", f"{time_text(record.created)}, {record.precision}, gives {' and '.join(record.outputs)}"),
        ("averages", averaging_text(record.averaging)),
        ("made with", _versions(record.versions)),
        ("compared", _compared(record.comparison)),
        *_verdict_rows(record),
    ]


def _verdict_rows(record: ExportRecord) -> Rows:
    rows = [
        (str(one.precision), safe_text(f"{'' if one.accepted else 'NOT '}accepted on {one.engine}: {one.text()}"))
        for one in verdicts_of(record, source="the model")
    ]
    kept = _mapping(record.comparison.get(QUANTISED_KEY)).get("kept_in_fp32")
    names = [str(_mapping(one).get("layer")) for one in kept] if isinstance(kept, list) else []
    return [*rows, ("in fp32", safe_text(", ".join([*names, "the last layer"])))] if names else rows


def engine_rows(record: EngineRecord) -> Rows:
    """Describe a plan: what it is for, where it runs, and how it compared."""
    capabilities = ", ".join(f"{one / 10:.1f}" for one in record.compute_capabilities)
    runs_on = f"GPUs of compute capability {capabilities or '8.0, 8.6, 8.9, and 12.0 and later'}"
    if record.kind == TENSORRT:
        runs_on = f"{record.gpu}, and on no other GPU"
    height, width = record.kept_yx
    return [
        ("keeps", f"{size_text((height, width))} of a tile"),
        ("runs on", safe_text(runs_on)),
        (
            "built",
            safe_text(f"{time_text(record.created)} by {record.kind} {record.library_version}, {record.precision}"),
        ),
        ("tried", _tried(record.acceptance)),
    ]


def _tried(acceptance: Mapping[str, Any]) -> str:
    if not acceptance:
        return "not yet: no GPU was there that could run it"
    tiles, flips, pixels = (acceptance.get(key, "?") for key in ("tiles", "flips", "pixels"))
    return safe_text(f"on {tiles} golden tiles: {flips} of {pixels} labels are not PyTorch's, within rounding")


def averaging_text(versions: int) -> str:
    """Say what a model averages over; empty if it does not."""
    return f"{versions} symmetric versions of each tile, one pass of the network each" if versions > 1 else ""


def result_rows(made: Mapping[str, Any]) -> Rows:
    """Describe how a label image was made."""
    model, pixels = _mapping(made.get("model")), _mapping(made.get("class_pixels"))
    averaging = model.get("averaging")
    total = sum(one for one in pixels.values() if isinstance(one, int)) or 1
    shares = (f"{name} {percent_text(count / total)}" for name, count in pixels.items() if isinstance(count, int))
    return [
        ("made", safe_text(f"{time_text(str(made.get('created', '')))}, unetctl {made.get('unetctl', '?')}")),
        ("from", safe_text(str(_mapping(made.get("image")).get("name", "")))),
        ("model", safe_text(f"{model.get('name', '?')}, {model.get('file', '?')}")),
        ("averages", averaging_text(averaging) if isinstance(averaging, int) else ""),
        ("weights", safe_text(str(model.get("weights_sha256", "")))),
        ("engine", safe_text(str(made.get("engine", "")))),
        ("computed in", safe_text(str(made.get("precision", "")))),
        ("classes", safe_text(", ".join(shares))),
        ("skipped", safe_text(_skipped_text(_mapping(made.get("skipped_blank")), total))),
    ]


def _skipped_text(skipped: Mapping[str, Any], total_px: int) -> str:
    pixels = skipped.get("pixels")
    share = percent_text(pixels / total_px) if isinstance(pixels, int) else ""
    return f"{share} of the image, as blank, labelled {skipped.get('label', '?')}" if share else ""


def _training(training: Mapping[str, Any]) -> list[str]:
    split = _mapping(training.get("split"))
    images = _mapping(split.get("train")).get("images")
    found = [
        f"run {training['run']}" if "run" in training else "",
        f"on {counted(images, 'image')}" if isinstance(images, int) else "",
        f"{training['steps']} steps" if "steps" in training else "",
        str(training.get("optimizer", "")),
        str(training.get("precision", "")),
        f"seed {training['seed']}" if "seed" in training else "",
        seconds_text(training["seconds"]) if isinstance(training.get("seconds"), int | float) else "",
    ]
    return [safe_text(one) for one in found if one]


def _score_rows(scores: Any) -> Rows:
    rows: Rows = []
    for part in ("validation", "test"):
        found = _mapping(_mapping(scores).get(part))
        dice = _mapping(found.get("dice"))
        by_class = ", ".join(f"{name}: {value:.3f}" for name, value in dice.items() if isinstance(value, float))
        if isinstance(found.get("mean_dice"), float) and isinstance(found.get("pixel_error"), float):
            wrong = f"{100 * found['pixel_error']:.2f} % of pixels wrong"
            rows.append((part, safe_text(f"mean Dice {found['mean_dice']:.3f} ({by_class}), {wrong}")))
    return rows


def _compared(comparison: Mapping[str, Any]) -> str:
    rows = [_mapping(one) for one in comparison.get("rows", ()) if isinstance(one, Mapping)]
    if not rows:
        return ""
    engines = dict.fromkeys(str(one.get("engine")) for one in rows)
    agreements = [_mapping(one.get("agreement")) for one in rows]
    flips, pixels = (sum(one.get(key, 0) for one in agreements) for key in ("flips", "pixels"))
    worst = max(one.get("logit_difference", 0.0) for one in rows)
    return safe_text(
        f"with PyTorch on {' and '.join(engines)}: logits differ by at most {worst:.1e}, "
        f"{flips:,} of {pixels:,} labels differ"
    )


def _versions(versions: Mapping[str, str]) -> str:
    return safe_text(", ".join(f"{name} {one}" for name, one in sorted(versions.items())))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
