"""Enter unetctl in the benchmark of other people's tools: `python -m benchmarks.peers PEERBENCH RUN MODEL [INT8]`.

PEERBENCH is a copy of the folder that runs the same job through other tools (its README says how). They all take one
state dict; RUN is a checkpoint of ours for gray images, or a run's folder, and its weights become everybody's, because
random ones exaggerate what fewer bits and seams change. MODEL and INT8 are what `unetctl export` made of it.

    PEERBENCH/models/b32.pt       the weights, under the names that are used there
    PEERBENCH/refs/ours_b32.npy   labels of the untiled network on our pooling grid: 94 px of mirrored border, not 92
    PEERBENCH/contestants.json    with lines for unetctl

The images there are normalised in one way, (x - 127.5) / 64, so ours is put into the weights of the first layer, which
has no padding: the same network, but for rounding.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from torch import Tensor

from benchmarks.whole_image import load_placed
from unetctl.runtime.geometry import align_up, margin_px
from unetctl.runtime.spec import ModelSpec, Scope
from unetctl.trainer.checkpoint import Checkpoint

THEIR_SHIFT, THEIR_SCALE = 127.5, 1 / 64
SEAM_PX = 1500
BUDGETS = {"fp32": "700MiB", "bf16": "800MiB", "int8": "800MiB"}
"""Asked of the program; what it predicts is an upper bound, and its peak stays under the 600 MB that are the aim."""


def folded(state: Mapping[str, Tensor], spec: ModelSpec) -> dict[str, Tensor]:
    """Return the state dict for images that are normalised as theirs are.

    W (x - s) c + b  =  W' (x - s') c' + b',  W' = W c / c',  b' = b + c (s' - s) sum(W)
    """
    shift, scale = spec.normalisation.shift[0], spec.normalisation.scale[0]
    weight, bias = state["down.0.0.weight"], state["down.0.0.bias"]
    moved = bias + scale * (THEIR_SHIFT - shift) * weight.sum(dim=(1, 2, 3))
    return {**state, "down.0.0.weight": weight * (scale / THEIR_SCALE), "down.0.0.bias": moved}


def their_names(state: Mapping[str, Tensor], depth: int) -> dict[str, Tensor]:
    """Return the tensors under the names of their `UNet`: the expanding path is counted from below there."""
    names = {"upconv": "up", "up": "dec"}
    found = {}
    for name, tensor in state.items():
        part, _, rest = name.partition(".")
        if part in names:
            level, _, rest = rest.partition(".")
            found[f"{names[part]}.{depth - 1 - int(level)}.{rest}"] = tensor
        else:
            found[name.replace("classify.", "head.")] = tensor
    return found


def untiled_labels(checkpoint: Checkpoint, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the labels uint8 `[H, W]` of one call of the network on the whole mirrored image."""
    spec = checkpoint.spec
    margin = margin_px(spec.depth)
    pads = [(margin, margin + align_up(side, spec.depth) - side) for side in image.shape]
    padded = np.pad(image, pads, mode="reflect").astype(np.float32)
    pixels = (padded - spec.normalisation.shift[0]) * spec.normalisation.scale[0]
    with torch.inference_mode():
        logits = checkpoint.network(torch.from_numpy(pixels[None, None]))[0]
    crop = (logits.shape[1] - align_up(image.shape[0], spec.depth)) // 2
    labels = logits.argmax(dim=0).numpy().astype(np.uint8)
    return labels[crop : crop + image.shape[0], crop : crop + image.shape[1]]


def contestants(program: Path, model: Path, int8: Path | None) -> list[dict[str, str]]:
    """Return our lines for contestants.json."""
    models = {"bf16": model, "fp32": model, **({"int8": int8} if int8 else {})}
    ways = [(precision, path, BUDGETS[precision]) for precision, path in models.items()]
    ways += [(f"{precision}, default memory", path, "") for precision, path in models.items() if precision != "fp32"]
    return [
        {
            "name": f"unetctl-{precision.replace(', ', '-').replace(' ', '-')}",
            "net": "ours",
            "input": "gray",
            "settings": f"segment --precision {precision.partition(',')[0]}"
            + (f" --max-memory {budget}" if budget else ""),
            "cmd": f"{program} segment {{src}} -o {{out}} --model {path} --engine openvino --quiet"
            f" --precision {precision.partition(',')[0]}" + (f" --max-memory {budget}" if budget else ""),
        }
        for precision, path, budget in ways
    ]


def main() -> None:
    """Write the weights, the reference and the lines."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.splitlines()[0])
    parser.add_argument("peerbench", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("int8", type=Path, nargs="?")
    options = parser.parse_args()
    folder: Path = options.peerbench
    checkpoint = load_placed(options.run)
    spec = checkpoint.spec
    if (len(spec.channels), len(spec.classes), spec.depth, spec.normalisation.scope) != (1, 2, 4, Scope.MODEL):
        sys.exit("the other tools run one gray channel, two classes, depth 4, and a fixed normalisation")
    state = their_names(folded(checkpoint.network.state_dict(), spec), spec.depth)
    for name in ("models", "refs"):
        (folder / name).mkdir(exist_ok=True)
    torch.save(state, folder / "models" / f"b{spec.base_channels}.pt")
    image = tifffile.imread(folder / "images" / f"gray_{SEAM_PX}.tif")
    np.save(folder / "refs" / f"ours_b{spec.base_channels}.npy", untiled_labels(checkpoint, image))
    listed = folder / "contestants.json"
    others = [one for one in json.loads(listed.read_text()) if not one["name"].startswith("unetctl")]
    program = Path(sys.executable).with_name("unetctl")
    ours = contestants(program, options.model.resolve(), options.int8.resolve() if options.int8 else None)
    listed.write_text(json.dumps([*others, *ours], indent=1))
    print("\n".join(one["name"] for one in ours))


if __name__ == "__main__":
    main()
