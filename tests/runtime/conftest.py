"""The image whose run is stopped, for all tests of continuing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime import continuing
from tests.runtime.continuing import Outcome, segment_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return continuing.make_image(tmp_path_factory.mktemp("stack"))


@pytest.fixture(scope="module")
def undisturbed(stack: Path) -> Outcome:
    """What a run gives that nobody stops."""
    found = continuing.outcome(segment_stack(stack))
    assert found.blank.tiles == 9
    return found


@pytest.fixture
def image(stack: Path, undisturbed: Outcome) -> Path:
    """The image, and nothing beside it."""
    continuing.clean(stack)
    return stack
