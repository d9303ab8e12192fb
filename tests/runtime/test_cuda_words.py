"""What libraries say of a GPU is told as what it is."""

from __future__ import annotations

import pytest

from unetctl.runtime.cuda_words import LOST, translated_cuda
from unetctl.runtime.errors import DataError, ResourceError, UnavailableError

MIB = 1 << 20


@pytest.mark.parametrize("sentence", sorted(LOST.values()))
@pytest.mark.parametrize(
    "form", ["CUDA failure 1: {} ; GPU=0 ; file=cuda_allocator.cc", "CUDA error: {}\nCompile with"]
)
def test_the_words_of_libraries_for_a_lost_device_are_known(sentence: str, form: str) -> None:
    with pytest.raises(UnavailableError, match="GPU was lost"), translated_cuda("a library", "tiles"):
        raise RuntimeError(form.format(sentence))


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("CUDA failure 2: out of memory ; GPU=0 ; hostname=x", ResourceError),
        ("CUDNN failure 2: CUDNN_STATUS_ALLOC_FAILED ; GPU=0", ResourceError),
        ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB", ResourceError),
        ("CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED ; GPU=0", UnavailableError),
        ("CUDA failure 209: no kernel image is available for execution on the device ; GPU=0", UnavailableError),
        ("Load model from x failed: Protobuf parsing failed.", DataError),
    ],
)
def test_other_words_of_libraries_are_told_as_what_they_are(message: str, kind: type[Exception]) -> None:
    with pytest.raises(kind), translated_cuda("a library", "tiles", free_bytes=lambda: 5 * MIB):
        raise RuntimeError(message)
