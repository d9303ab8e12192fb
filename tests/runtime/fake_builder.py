"""TensorRT's builder as a fake, and a GPU: what our code asks them, on a machine that has neither."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.fake_tensorrt import Call, FakePart, fake_module
from tests.runtime.tensorrt_names import Names
from unetctl.runtime.cuda import DeviceFacts
from unetctl.runtime.tensorrt_library import TensorRtLibrary

GPU = DeviceFacts(
    index=0,
    name="NVIDIA Test 1",
    compute_capability="8.9",
    total_bytes=8 << 30,
    free_bytes=6 << 30,
    driver_version="13.0",
    runtime_version="13.0",
)


class FakeBuilder:
    """A TensorRT with these names whose builder gives `gives` and logs the error `says`.

    `changes`: `parses` (or not), `labels` (the shape that comes out), `accepts` (the timing caches, one after another).
    """

    def __init__(self, names: Names, *, gives: bytes | None = b"a plan", says: str = "", **changes: Any) -> None:
        self.calls: list[Call] = []
        self._part: Callable[..., FakePart] = lambda kind, **values: FakePart(kind, names, self.calls, **values)
        self.image = self._part("ITensor", name="image", shape=(-1, 1, -1, -1))
        labels = self._part("ITensor", name="labels", shape=changes.get("labels", (2, 20, 36)))
        network = self._part(
            "INetworkDefinition",
            num_inputs=1,
            num_outputs=1,
            get_input=lambda _: self.image,
            get_output=lambda _: labels,
        )
        cache = self._part("ITimingCache", serialize=lambda: b"measured")
        accepts = iter(changes.get("accepts", (True,)))
        config = self._part(
            "IBuilderConfig",
            create_timing_cache=lambda _: cache,
            set_timing_cache=lambda *_: next(accepts),
            get_timing_cache=lambda: cache,
        )

        def build(*_: Any) -> bytes | None:
            if says:
                self.log.log(1, says)
            return gives

        builder = self._part(
            "Builder",
            create_network=lambda _: network,
            create_builder_config=lambda: config,
            build_serialized_network=build,
        )
        fault = self._part("ParserError", desc=lambda: "no such", node_operator=lambda: "Conv", node_name=lambda: "c1")
        parser = self._part(
            "OnnxParser", parse=lambda _: changes.get("parses", True), num_errors=1, get_error=lambda _: fault
        )

        def start(log: Any) -> FakePart:
            self.log = log
            return builder

        self.module = fake_module(names, self.calls, start, lambda *_: parser)
        self.library = TensorRtLibrary(name="tensorrt", module=self.module, version="10.3.0")

    def arguments(self, call: str) -> list[tuple[Any, ...]]:
        return [arguments for name, arguments in self.calls if name == call]
