"""The sources by name, and how to open each. Only the libraries of the opened source are imported."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Protocol, cast

from shp_miner.arguments import one_of
from shp_miner.sources.access import Access
from shp_miner.sources.limits import Limits
from shp_miner.sources.source import Source
from shp_miner.sources.table import ROWS

__all__ = ["Access", "Guarded", "Module", "module", "open_source", "require_credentials"]


class Module(Protocol):
    """The functions of every platform's module."""

    #: How a site is asked.
    LIMITS: Limits

    def opened(self, access: Access) -> AbstractContextManager[Source]:
        """A source, ready to be asked. Raises UsageError without a site where one is needed."""
        ...


class Guarded(Module, Protocol):
    """The additional functions of a platform's module that needs credentials."""

    def require_credentials(self, environment: Mapping[str, str]) -> None:
        """Raise NotAllowed where credentials are missing in the environment, or cannot be right."""
        ...


def module(name: str) -> Module:
    """The module of a platform, imported. Raises UsageError for an unknown name."""
    return cast("Module", import_module(ROWS[one_of(name, ROWS, "source")].module))


def open_source(name: str, access: Access) -> AbstractContextManager[Source]:
    """Open a source. Raises UsageError for an unknown name or a missing site, NotAllowed without credentials."""
    return module(name).opened(access)


def require_credentials(name: str, environment: Mapping[str, str]) -> None:
    """Raise NotAllowed if the environment lacks credentials that a platform needs."""
    if ROWS[name].needs_credentials:
        cast("Guarded", module(name)).require_credentials(environment)
