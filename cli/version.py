"""The version of unetctl, as installed."""

from __future__ import annotations


def version() -> str:
    """Return the version of the installed package."""
    from importlib.metadata import version as installed_version

    return installed_version("unetctl")
