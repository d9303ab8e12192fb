"""What the fake TensorRT builds: a plan that is one line of JSON, the shape of its image, and the ONNX model itself."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tests.fake_tensorrt import Call, FakePart
from tests.runtime.tensorrt_names import common_names

Arrays = dict[str, NDArray[Any]]


def make_plan(model: bytes, image: tuple[int, ...]) -> bytes:
    """Return the plan of a model for images of this shape, `[N, C, H, W]` or `[N, C, H, W, 2]`."""
    return json.dumps(image).encode() + b"\n" + model


def read_plan(plan: bytes) -> tuple[bytes, tuple[int, ...]]:
    """Return the model of a plan and the shape of its image."""
    image, _, model = plan.partition(b"\n")
    return model, tuple(json.loads(image))


@cache
def session(model: bytes) -> onnxruntime.InferenceSession:
    """Return a model, ready to run on the processor."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@cache
def example(model: bytes, image: tuple[int, ...]) -> Arrays:
    """Return inputs and outputs of a model for an input `image` of this shape, by name."""
    inputs: Arrays = {
        one.name: np.zeros(image, np.uint8) if one.name == "image" else np.ones(image[1], np.float32)
        for one in session(model).get_inputs()
    }
    names = [one.name for one in session(model).get_outputs()]
    return inputs | dict(zip(names, session(model).run(names, inputs), strict=True))


class FakeBuilder:
    """The half of the fake TensorRT that builds; `built` holds the shapes of the images that it built for."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.built: list[tuple[int, ...]] = []

    def part(self, kind: str, **values: Any) -> FakePart:
        """Return an object of one of TensorRT's classes, with the names that all versions share."""
        return FakePart(kind, common_names(), self.calls, **values)

    def builder(self, log: Any) -> FakePart:
        """Be `trt.Builder`."""
        cache = self.part("ITimingCache", serialize=lambda: b"measured")
        config = {"create_timing_cache": lambda _: cache, "get_timing_cache": lambda: cache}
        return self.part(
            "Builder",
            create_network=lambda _: self.part("INetworkDefinition"),
            create_builder_config=lambda: self.part("IBuilderConfig", set_timing_cache=lambda *_: True, **config),
            build_serialized_network=self._build,
        )

    def parser(self, network: FakePart, log: Any) -> FakePart:
        """Be `trt.OnnxParser`."""

        def parse(model: bytes) -> bool:
            free = [size if isinstance(size, int) else -1 for size in session(model).get_inputs()[0].shape]
            image = self.part("ITensor", name="image", shape=tuple(free))
            network.__dict__.update(model=model, image=image)
            network._values.update(num_inputs=1, num_outputs=1, get_input=lambda _: image)
            network._values.update(get_output=lambda _: Labels(network))
            return True

        return self.part("OnnxParser", parse=parse)

    def _build(self, network: Any, config: FakePart) -> bytes:
        self.built.append(network.image.shape)
        return make_plan(network.model, network.image.shape)


class Labels:
    """The output of a network that is being built: its shape follows from the input's."""

    name = "labels"

    def __init__(self, network: Any) -> None:
        self.shape = example(network.model, network.image.shape)["labels"].shape
