"""Which plan runs which tiles: one that exists for this model, GPU and library, or one that is built here and kept.

A plan is for one tile and serves any smaller one at the cost of its own, so that a few plans do for all images. Those
beside the model and in the user's own folder are found by the hash of the model in their names; none is loaded that
does not match, and none is built over: a build goes into the user's own folder.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from unetctl.runtime.cuda import DeviceFacts
from unetctl.runtime.engine_build import Accept, EngineTarget, build_engine
from unetctl.runtime.engine_file import SUFFIX, EngineFile, read_engine_file
from unetctl.runtime.engine_lock import only_build
from unetctl.runtime.engine_match import mismatch, this_machine
from unetctl.runtime.engine_tiles import default_tiles, device_bytes
from unetctl.runtime.engine_trust import engine_cache, was_built_here
from unetctl.runtime.errors import UnavailableError, UnetctlError
from unetctl.runtime.geometry import input_px, margin_px
from unetctl.runtime.model import Model, read_model
from unetctl.runtime.plan import CHUNK_PX
from unetctl.runtime.tensorrt_library import TensorRtLibrary

LOG = logging.getLogger(__name__)

Shape = tuple[int, int]


def choose_plans(
    model: Model,
    shapes: Sequence[Shape],
    library: TensorRtLibrary,
    device: DeviceFacts,
    *,
    accept: Accept,
    trust_foreign: bool,
) -> dict[Shape, EngineFile]:
    """Return a plan for every input shape `(H, W)`; what no existing one can run gets one that is built now.

    `model` may be an ONNX model or one of its engines. A build takes minutes. Raises what `build_engine` raises, and
    `UnavailableError` where the ONNX model to build from is not there.
    """
    chosen, unused = _existing(model, shapes, library, device, trust_foreign=trust_foreign)
    if len(chosen) == len(shapes):
        for why_not in unused:
            if why_not.startswith(f"{model.path} "):  # it was asked for by name, and another runs in its place
                LOG.warning("%s", why_not)
        return chosen
    with only_build():
        chosen, unused = _existing(model, shapes, library, device, trust_foreign=trust_foreign)
        if missing := [shape for shape in shapes if shape not in chosen]:  # none if another process built it meanwhile
            for why_not in unused:
                LOG.warning("%s", why_not)
            chosen |= dict.fromkeys(missing, _build(model, missing, library, device, accept))
    return chosen


def fixed_shapes(
    model: Model, library: TensorRtLibrary, device: DeviceFacts, *, trust_foreign: bool
) -> tuple[Shape, ...]:
    """Return the input shapes that plans of `model` exist for, or that would be built if none holds a chunk.

    For an engine that was asked for by name and can run, its own. Those that the memory of the device will hardly hold
    are left out, but for the smallest.
    """
    found, _ = _usable(model, library, device, trust_foreign=trust_foreign)
    found = [one for one in found if one.path == model.path] or found
    kept = sorted({one.record.kept_yx for one in found if min(one.record.kept_yx) >= CHUNK_PX}, key=max)
    fitting = [one for one in kept if device_bytes(model, max(one)) <= device.free_bytes] or kept[:1]
    if not fitting:
        fitting = [(side, side) for side in default_tiles(model, device.free_bytes)]
    return tuple((input_px(height, model.spec.depth), input_px(width, model.spec.depth)) for height, width in fitting)


def best_plan(plans: Sequence[EngineFile], shape: Shape) -> EngineFile | None:
    """Return the plan that computes the fewest pixels for a tile of `shape`, or None if none can hold one."""
    able = [one for one in plans if all(size <= most for size, most in zip(shape, one.record.input_yx, strict=True))]
    return min(able, key=lambda one: one.record.input_yx[0] * one.record.input_yx[1], default=None)


def _existing(
    model: Model, shapes: Sequence[Shape], library: TensorRtLibrary, device: DeviceFacts, *, trust_foreign: bool
) -> tuple[dict[Shape, EngineFile], list[str]]:
    """Return the best existing plan for each shape that has one, and of each plan that is not used why not."""
    found, unused = _usable(model, library, device, trust_foreign=trust_foreign)
    named = [one for one in found if one.path == model.path]  # what was asked for by name, where it can be
    plans = {shape: best_plan(named, shape) or best_plan(found, shape) for shape in shapes}
    return {shape: plan for shape, plan in plans.items() if plan is not None}, unused


def _usable(
    model: Model, library: TensorRtLibrary, device: DeviceFacts, *, trust_foreign: bool
) -> tuple[list[EngineFile], list[str]]:
    """Return the plans of `model` that may be loaded here, and of each other one why not.

    For an engine that was asked for by name, what is wrong with its bytes or its maker is raised and not worked around.
    """
    machine = this_machine(library, device)
    usable, unused = [], []

    def sort(file: EngineFile, why_not: str) -> None:
        if why_not:
            unused.append(f"{file.path} is not used: {why_not}")
        else:
            usable.append(file)

    onnx_sha256 = model.sha256
    if model.path.suffix == SUFFIX:
        own = read_engine_file(model.path)
        onnx_sha256 = own.record.onnx_sha256
        sort(own, mismatch(own.record, machine))
    folders = dict.fromkeys((model.path.parent, engine_cache()))
    for path in sorted(one for folder in folders for one in folder.glob(f"*-{onnx_sha256[:8]}-*{SUFFIX}")):
        if path == model.path:
            continue
        try:
            file = read_engine_file(path)
        except UnetctlError as error:  # another's rubbish is no reason not to go on
            unused.append(error.what)
            continue
        if file.record.onnx_sha256 == onnx_sha256:
            sort(file, mismatch(file.record, machine) or _suspicion(file, model, trust_foreign=trust_foreign))
    return usable, unused


def _suspicion(file: EngineFile, model: Model, *, trust_foreign: bool) -> str:
    """Say why a plan that was found, and not asked for by name, is left alone; empty if it is not."""
    if (file.record.spec.to_json(), file.record.export.outputs) != (model.spec.to_json(), model.record.outputs):
        return "its record says other things of the model than the model itself"
    if not trust_foreign and not was_built_here(file.record.plan_sha256):
        return "it was not built here, and an engine is a program; --trust-engine if you trust its maker"
    return ""


def _build(
    model: Model, shapes: Sequence[Shape], library: TensorRtLibrary, device: DeviceFacts, accept: Accept
) -> EngineFile:
    """Build one plan that holds tiles of all `shapes`, and the golden tiles that it is tried with."""
    model = _onnx_model(model)
    sizes = [*shapes, *(one.image.shape[1:] for one in model.golden)]
    largest = max(max(one) for one in sizes) - 2 * margin_px(model.spec.depth)
    kept = -(-largest // CHUNK_PX) * CHUNK_PX  # square and of whole chunks, so that one serves many images
    LOG.warning(
        "no engine of %s fits tiles that keep %d px: building one for %s with %s, once%s",
        *(model.path, kept, device.name, library.name),
        "" if library.is_rtx else "; this takes minutes",
    )
    capability = round(10 * float(device.compute_capability))
    target = EngineTarget(
        library=library,
        device=device,
        kept_yx=(kept, kept),
        compute_capabilities=(capability,) if library.is_rtx else (),
    )
    return build_engine(model, target, engine_cache(), accept=accept)


def _onnx_model(model: Model) -> Model:
    """Return the model to build from: itself, or for an engine the ONNX file beside it that it was built from."""
    if model.path.suffix != SUFFIX:
        return model
    wanted = read_engine_file(model.path).record.onnx_sha256
    for path in sorted(model.path.parent.glob("*.onnx")):
        if _sha256(path) == wanted:
            return read_model(path)
    raise UnavailableError(
        f"{model.path} cannot be used here, and the model that it was built from is not beside it",
        cause=f"no .onnx file in {model.path.parent} has the SHA-256 {wanted[:12]}...",
        hint="put the ONNX model there, or --model model.onnx",
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
