"""What CUDA's errors mean, and what they are called where only a sentence comes through: in ONNX Runtime and PyTorch.

    ONNX Runtime    CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=... ; expr=...
    PyTorch         CUDA error: an illegal memory access was encountered

Too little memory is a `ResourceError`; everything else, a lost device above all, is an `UnavailableError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from unetctl.runtime.errors import ResourceError, UnavailableError, UnetctlError
from unetctl.runtime.library_errors import translated

NOTHING_LOST = "nothing at the output's path was created or changed"

LOST: dict[str, str] = {
    "cudaErrorAssert": "device-side assert triggered",
    "cudaErrorContained": "Invalid access of peer GPU memory over nvlink or a hardware error",
    "cudaErrorContextIsDestroyed": "context is destroyed",
    "cudaErrorDevicesUnavailable": "CUDA-capable device(s) is/are busy or unavailable",
    "cudaErrorECCUncorrectable": "uncorrectable ECC error encountered",
    "cudaErrorExternalDevice": "an async error has occured in external entity outside of CUDA",
    "cudaErrorHardwareStackError": "hardware stack error",
    "cudaErrorIllegalAddress": "an illegal memory access was encountered",
    "cudaErrorIllegalInstruction": "an illegal instruction was encountered",
    "cudaErrorInvalidAddressSpace": "operation not supported on global/shared address space",
    "cudaErrorInvalidPc": "invalid program counter",
    "cudaErrorLaunchFailure": "unspecified launch failure",
    "cudaErrorLaunchTimeout": "the launch timed out and was terminated",
    "cudaErrorMisalignedAddress": "misaligned address",
    "cudaErrorMpsClientTerminated": "the MPS client has been terminated by the server",
    "cudaErrorMpsConnectionFailed": "MPS client failed to connect to the MPS control daemon or the MPS server",
    "cudaErrorMpsRpcFailure": "the remote procedural call between the MPS server and the MPS client failed",
    "cudaErrorNoDevice": "no CUDA-capable device is detected",
    "cudaErrorNvlinkUncorrectable": "uncorrectable NVLink error detected during the execution",
    "cudaErrorSystemNotReady": "system not yet initialized",
    "cudaErrorUnknown": "unknown error",
}
"""Codes after which no call of this process on this device succeeds again (CUDA Runtime API, data types), with CUDA's
sentences: the memory on the device is gone, and only a new process gets it back."""

NO_ROOM = ("out of memory", "failed to allocate memory", "status_alloc_failed")
"""In lower case: of CUDA, of ONNX Runtime's arena, of cuDNN and cuBLAS."""
OF_CUDA = ("cuda failure", "cuda error", "cudnn", "cublas")
"""In lower case: how messages begin that a GPU is behind."""


def out_of_memory(needed_bytes: int, *, free_bytes: int | None, cause: str) -> ResourceError:
    """Return the error of a GPU whose memory does not suffice, with what is needed (0: unknown) and what is free."""
    needed = f"{needed_bytes / 2**20:,.1f} MiB are needed" if needed_bytes else "more is needed"
    room = f"{free_bytes / 2**20:,.1f} MiB are free" if free_bytes is not None else "it does not say what is free"
    return ResourceError(
        f"the GPU has too little memory: {needed}, {room}",
        cause=cause,
        saved=NOTHING_LOST,
        hint="end other programs on the GPU (nvidia-smi lists them), or use a smaller tile",
    )


def lost_device(cause: str) -> UnavailableError:
    """Return the error of a GPU that nothing can be done with any more."""
    return UnavailableError(
        "the GPU was lost: it failed, was reset or was taken away while it worked",
        cause=cause,
        saved=NOTHING_LOST,
        hint="look at nvidia-smi and, in the system's log, for Xid; then type the same command again",
    )


def refused_call(cause: str) -> UnavailableError:
    """Return the error of a call that CUDA refused for another reason."""
    return UnavailableError(
        "CUDA refused a call", cause=cause, saved=NOTHING_LOST, hint="unetctl doctor, or another --engine"
    )


@contextmanager
def translated_cuda(
    library: str, what: str, *, needed_bytes: int = 0, free_bytes: Callable[[], int | None] = lambda: None
) -> Iterator[None]:
    """Turn the errors of a library that works on a GPU into ours; what no GPU is behind, as `translated` does.

    `needed_bytes` and `free_bytes` are told where the memory does not suffice.
    """
    with translated(library, what):
        try:
            yield
        except UnetctlError:
            raise
        except Exception as error:
            message = " ".join(str(error).split())
            found = _of_a_gpu(message, needed_bytes, free_bytes)
            if found is None:
                raise
            raise found from error


def _of_a_gpu(message: str, needed_bytes: int, free_bytes: Callable[[], int | None]) -> UnetctlError | None:
    """Return our error for the message of a library, or None if it does not speak of the GPU."""
    lower, cause = message.lower(), message[:500]
    is_of_cuda = any(one in lower for one in OF_CUDA)
    if is_of_cuda and any(sentence.lower() in lower for sentence in LOST.values()):
        return lost_device(cause)  # first: the message may name a file, as cuda_allocator.cc
    if any(one in lower for one in NO_ROOM):
        return out_of_memory(needed_bytes, free_bytes=free_bytes(), cause=cause)
    return refused_call(cause) if is_of_cuda else None
