"""What `benchmarks.gpu` measures: on a fast card, and as a rehearsal on any processor."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The sizes of everything, handed to each part of the benchmark as JSON."""

    rehearse: bool
    """Engines on the processor instead of those on an NVIDIA GPU."""
    scratch: str
    """Folder for networks, slides and results, gone afterwards."""
    engines: tuple[str, ...] = ()
    """Only these; none: all that can run."""
    graphs: tuple[str, ...] = ("fp16", "fp32")
    """Precisions that ONNX models are exported in; TensorRT and ONNX Runtime have no switch for it."""
    exact_yx: tuple[int, int] = (803, 1130)
    """Of the image that integer networks label: no multiple of anything."""
    base_channels: tuple[int, ...] = (64, 32)
    """The most important first."""
    strides: tuple[int, ...] = (384, 512, 768, 1024, 1536, 2048)
    """Pixels that a tile keeps, on the bare engine."""
    first_strides: tuple[int, ...] = (2048, 1024)
    """Those of `strides` that come first."""
    file_strides: tuple[int, ...] = (512, 1024)
    """From file to file, beside the tile that the run chooses; multiples of 512, as the chunks of the output are."""
    batches: tuple[int, ...] = (4, 16)
    batch_stride: int = 512
    side_px: int = 16384
    """Of the slide."""
    golden_px: int = 512
    """Pixels that a golden tile keeps a side."""
    matrix_side: int = 8192
    copy_bytes: int = 1 << 30
    repeat_seconds: float = 0.8
    """How long a timed repeat should take at least."""
    repeats: int = 3
    tests: str = (
        "not AFakeGpu and not WithPlansOfItsShapes and not WithOneLargerPlan "
        "and not TestOnnxRuntime and not TestOpenVino"
    )
    """Which contract tests: without those on processors and on GPUs that the tests fake, which say nothing of it."""

    @property
    def threads(self) -> int:
        """Return the threads of an engine; tiny networks take one, because a second would only wait for the first."""
        from unetctl.runtime.system import processors

        return 1 if self.rehearse else processors()

    def to_json(self) -> str:
        """Return the settings as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        return cls(**{one.name: _frozen(values[one.name]) for one in fields(cls)})

    @property
    def folder(self) -> Path:
        """Return the scratch folder."""
        return Path(self.scratch)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def rehearsal(scratch: str, engines: tuple[str, ...]) -> Settings:
    """Return settings of the same kinds of measurement that a processor makes in a minute."""
    return Settings(
        rehearse=True,
        scratch=scratch,
        engines=engines,
        graphs=("fp32",),
        exact_yx=(203, 330),
        base_channels=(4, 2),
        strides=(64, 128),
        first_strides=(128,),
        file_strides=(512,),
        batches=(2,),
        batch_stride=64,
        side_px=576,
        golden_px=32,
        matrix_side=512,
        copy_bytes=1 << 20,
        repeat_seconds=0.02,
        repeats=1,
        tests="(TestTorch and test_a_buffer) or (TestOnnxRuntime and test_what_a_short_batch)",
    )
