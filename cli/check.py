"""`unetctl check`: the golden tiles of a model on every engine of this machine."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from unetctl.cli import output
from unetctl.cli.engine_models import TrustEngine
from unetctl.cli.models import as_typed, model_path, runnable_everywhere
from unetctl.cli.wording import path_text
from unetctl.runtime.errors import CheckFailedError, RefusedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unetctl.runtime.check import CheckRow
    from unetctl.runtime.model import Model


def check(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model (.onnx), a checkpoint, an engine, or nuclei.")],
    trust_engine: TrustEngine = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare the engines of this machine with PyTorch.

    A model carries a few real tiles and what PyTorch made of them, so this needs no torch.
    Exit code 1 if an engine differs by more than rounding explains.
    """
    from unetctl.runtime.check import check_model

    path = model_path(model)
    read, found, missing = runnable_everywhere(path, trust_engine=trust_engine)
    refused = _refused(read, found) if read.record.precision == "int8" else {}
    engines = {name: one for name, one in found.items() if name not in refused}
    absent = {**missing, **refused}
    if not engines:
        reasons = "; ".join(f"{name}: {why}" for name, why in absent.items())
        raise UnavailableError("no engine can run here", cause=reasons, hint="unetctl doctor")
    rows = [*check_model(read, engines), *_hinted(read, engines)]
    failed = [f"{one.engine} in {one.precision}" for one in rows if not one.passed]
    if as_json:
        listed = [{**asdict(one), "passed": one.passed} for one in rows]
        output.result_json({"path": str(path), "passed": not failed, "engines": listed, "absent": dict(absent)})
    else:
        output.heading(f"{path_text(as_typed(path))}: its golden tiles, as this machine computes them")
        output.table(
            ("engine", "computes in", "tiles", "other labels", "beyond rounding", "not a number", "result"),
            [
                (
                    one.engine,
                    one.precision,
                    str(one.tiles),
                    f"{one.agreement.flips:,} of {one.agreement.pixels:,}",
                    f"{one.agreement.flips_beyond:,}",
                    f"{one.agreement.invalid:,}",
                    "passed" if one.passed else "FAILED",
                )
                for one in rows
            ],
        )
        for name, why in absent.items():
            output.notice(f"not checked: {name}: {why}")
    if failed:
        raise CheckFailedError(
            f"{path_text(as_typed(path))} does not give PyTorch's labels on {', '.join(failed)}",
            hint="use another engine: unetctl segment --engine; and report it with the output of unetctl doctor",
        )


def _refused(model: Model, engines: Iterable[str]) -> dict[str, str]:
    """Return the engines on which the export did not accept an int8 model, so that nothing runs it there, and why."""
    from unetctl.runtime.engines import choose_engine

    refused = {}
    for name in engines:
        try:
            choose_engine(name, model)
        except RefusedError as error:
            refused[name] = f"{error.what}: {error.cause}"
    return refused


def _hinted(model: Model, engines: Iterable[str]) -> list[CheckRow]:
    """Check the precisions too that `segment` may take instead of the model's own."""
    from unetctl.runtime.check import check_model
    from unetctl.runtime.engines import choose_engine, engine_status

    rows: list[CheckRow] = []
    for one in engine_status() if model.record.precision == "fp32" else ():
        for hint in one.hints if one.name in engines else ():
            with suppress(RefusedError):  # it was not accepted at export, so nothing runs in it
                choice = choose_engine(one.name, model, precision=hint)
                rows += check_model(model, {one.name: choice.open}, precision=hint)
    return rows
