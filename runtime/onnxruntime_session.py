"""A session of ONNX Runtime on an NVIDIA GPU: how it is opened, and what it refuses to do without a word.

What ONNX Runtime would do in silence is made an error: to open without the GPU, to fall back to the processor when it
fails, to compute single layers on the processor. Kernels are chosen by cuDNN's rules and not by timing them, so that
every process and every GPU of a kind chooses the same: see docs/decisions/0011-kernels-are-chosen-by-rule.md.
NOT RUN on a GPU so far.
"""

from __future__ import annotations

import ctypes
import importlib.util
import io
import warnings
from contextlib import redirect_stdout, suppress
from itertools import product
from pathlib import Path
from typing import Any

from unetctl.runtime.cuda import free_device_bytes
from unetctl.runtime.cuda_words import translated_cuda
from unetctl.runtime.engine_onnxruntime import import_onnxruntime
from unetctl.runtime.errors import DataError, UnavailableError

PROVIDER = "CUDAExecutionProvider"
INSTALL = 'with an NVIDIA GPU and its driver: pip uninstall onnxruntime; pip install "unetctl[gpu]"'

OPTIONS = {
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",  # or it takes twice what it needs, to grow into
}

LIBRARIES = (
    *("cu13/lib/libcublasLt.so.13", "cu13/lib/libcublas.so.13", "cu13/lib/libnvrtc.so.13", "cu13/lib/libcurand.so.10"),
    *("cu13/lib/libcufft.so.12", "cu13/lib/libcudart.so.13", "cudnn/lib/libcudnn.so.9"),
)
"""Of CUDA 13 and cuDNN on Linux, in NVIDIA's packages; each after those that it needs."""

ON_THE_PROCESSOR = "assigned to the default CPU EP"
"""What ONNX Runtime says of layers for which it would need the processor: all, if the GPU's libraries are missing."""


def open_cuda_session(path: Path, device: int, *, graphs: bool, precision: str = "fp32") -> Any:
    """Load a model onto the GPU of index `device`; with `graphs` each `gpu_graph_id` is recorded and replayed.

    `precision` is that of its graph: without TF32, ONNX Runtime leaves the tensor cores to no precision, fp16 included.

    Raises `UnavailableError` if anything of it would run on the processor, `ResourceError` if the memory of the GPU
    does not suffice, and `DataError` if the model is refused.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, and said once
    options.enable_mem_pattern = False  # memory that it takes in a later run cannot be recorded in a graph
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    switches = {"enable_cuda_graph": graphs, "use_tf32": precision == "fp16"}  # what is called fp32 is fp32
    chosen = {**OPTIONS, "device_id": str(device)} | {name: str(int(is_on)) for name, is_on in switches.items()}
    onnxruntime.set_default_logger_severity(4)  # of the process, and for good: it warns of each session
    missing = preload()
    try:
        with translated_cuda("ONNX Runtime", str(path), free_bytes=free_device_bytes):
            session = onnxruntime.InferenceSession(path, options, providers=[(PROVIDER, chosen)], enable_fallback=0)
    except DataError as error:
        if ON_THE_PROCESSOR not in error.cause:
            raise
        raise _not_on_the_gpu(missing or error.cause) from error
    if session.get_providers()[:1] != [PROVIDER]:
        raise _not_on_the_gpu(missing or f"it took {', '.join(session.get_providers())}")
    return session


def preload() -> str:
    """Load the GPU's libraries that ONNX Runtime needs; return which of them cannot be loaded, empty if all can."""
    _load_packages_of_nvidia()
    said = io.StringIO()
    with redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_onnxruntime().preload_dlls()
    return "; ".join(line for line in said.getvalue().splitlines() if line.startswith("Failed to load"))


def _load_packages_of_nvidia() -> None:
    """Load what lies in NVIDIA's packages, wherever Python finds them: ONNX Runtime looks only beside itself."""
    found = importlib.util.find_spec("nvidia")
    folders = (found and found.submodule_search_locations) or ()
    for library, folder in product(LIBRARIES, folders):
        with suppress(OSError):
            ctypes.CDLL(str(Path(folder, library)))


def _not_on_the_gpu(cause: str) -> UnavailableError:
    return UnavailableError(
        "ONNX Runtime would compute on the processor, and not on the GPU alone",
        cause=cause,
        hint="the GPU's libraries, CUDA 13 and cuDNN 9, come with "
        'pip install "unetctl[gpu]"; or --engine onnxruntime, for the processor',
    )
