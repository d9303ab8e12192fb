"""The name of a project's settings, for whoever looks for a project without reading them."""

CONFIG_NAME = "unetctl.toml"
"""The file that makes a folder a project."""
