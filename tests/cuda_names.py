"""What of cuda-bindings our code uses, as it was read from the real bindings: the same in 12.9.10 and in 13.5.0."""

from __future__ import annotations

CODES: dict[str, tuple[int, str]] = {
    "cudaSuccess": (0, "no error"),
    "cudaErrorInvalidValue": (1, "invalid argument"),
    "cudaErrorMemoryAllocation": (2, "out of memory"),
    "cudaErrorInsufficientDriver": (35, "CUDA driver version is insufficient for CUDA runtime version"),
    "cudaErrorDevicesUnavailable": (46, "CUDA-capable device(s) is/are busy or unavailable"),
    "cudaErrorNoDevice": (100, "no CUDA-capable device is detected"),
    "cudaErrorInvalidDevice": (101, "invalid device ordinal"),
    "cudaErrorECCUncorrectable": (214, "uncorrectable ECC error encountered"),
    "cudaErrorNvlinkUncorrectable": (220, "uncorrectable NVLink error detected during the execution"),
    "cudaErrorContained": (226, "Invalid access of peer GPU memory over nvlink or a hardware error"),
    "cudaErrorInvalidResourceHandle": (400, "invalid resource handle"),
    "cudaErrorIllegalAddress": (700, "an illegal memory access was encountered"),
    "cudaErrorLaunchTimeout": (702, "the launch timed out and was terminated"),
    "cudaErrorContextIsDestroyed": (709, "context is destroyed"),
    "cudaErrorAssert": (710, "device-side assert triggered"),
    "cudaErrorHardwareStackError": (714, "hardware stack error"),
    "cudaErrorIllegalInstruction": (715, "an illegal instruction was encountered"),
    "cudaErrorMisalignedAddress": (716, "misaligned address"),
    "cudaErrorInvalidAddressSpace": (717, "operation not supported on global/shared address space"),
    "cudaErrorInvalidPc": (718, "invalid program counter"),
    "cudaErrorLaunchFailure": (719, "unspecified launch failure"),
    "cudaErrorSystemNotReady": (802, "system not yet initialized"),
    "cudaErrorMpsConnectionFailed": (805, "MPS client failed to connect to the MPS control daemon or the MPS server"),
    "cudaErrorMpsRpcFailure": (806, "the remote procedural call between the MPS server and the MPS client failed"),
    "cudaErrorMpsClientTerminated": (810, "the MPS client has been terminated by the server"),
    "cudaErrorStreamCaptureUnsupported": (900, "operation not permitted when stream is capturing"),
    "cudaErrorStreamCaptureInvalidated": (901, "operation failed due to a previous error during capture"),
    "cudaErrorExternalDevice": (911, "an async error has occured in external entity outside of CUDA"),
    "cudaErrorUnknown": (999, "unknown error"),
}
"""Return codes: their numbers and sentences."""

FUNCTIONS: dict[str, int] = {
    "cudaDriverGetVersion": 0,
    "cudaEventCreateWithFlags": 1,
    "cudaEventDestroy": 1,
    "cudaEventRecord": 2,
    "cudaEventSynchronize": 1,
    "cudaFree": 1,
    "cudaFreeHost": 1,
    "cudaGetDeviceCount": 0,
    "cudaGetDeviceProperties": 1,
    "cudaGetErrorString": 1,
    "cudaGetLastError": 0,
    "cudaGraphDestroy": 1,
    "cudaGraphExecDestroy": 1,
    "cudaGraphInstantiate": 2,
    "cudaGraphLaunch": 2,
    "cudaHostAlloc": 2,
    "cudaMalloc": 1,
    "cudaMemGetInfo": 0,
    "cudaMemcpy2DAsync": 8,
    "cudaMemcpyAsync": 5,
    "cudaRuntimeGetVersion": 0,
    "cudaSetDevice": 1,
    "cudaStreamBeginCapture": 2,
    "cudaStreamCreateWithFlags": 1,
    "cudaStreamDestroy": 1,
    "cudaStreamEndCapture": 1,
    "cudaStreamSynchronize": 1,
}
"""Functions: how many arguments each takes."""

CONSTANTS: dict[str, int] = {
    "cudaEventBlockingSync": 1,
    "cudaEventDisableTiming": 2,
    "cudaHostAllocDefault": 0,
    "cudaMemcpyKind.cudaMemcpyDeviceToHost": 2,
    "cudaMemcpyKind.cudaMemcpyHostToDevice": 1,
    "cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal": 1,
    "cudaStreamNonBlocking": 1,
}
"""Flags, and members of enumerations."""
