"""What can keep a local database from starting, each told in one line that says what to do."""

from __future__ import annotations

from datastores.errors import ExpectedError


class LocalDatabaseError(ExpectedError):
    """The local database cannot be started; the message says why and what to do."""


class NoLocalDatabase(LocalDatabaseError):
    """No database server was found that runs on this system."""


class DataDirLocked(LocalDatabaseError):
    """Another process uses the data folder."""


class DataDirUnusable(LocalDatabaseError):
    """The data folder cannot be written, is damaged, or belongs to another version of the server."""


class PortTaken(Exception):  # never leaves this package: another port is tried
    """Somebody else took the port between our choice of it and the server's start."""


def cannot_be_used(data_dir: object, error: OSError) -> DataDirUnusable:
    """The folder could not be written, in words."""
    return DataDirUnusable(f"the data folder {data_dir} cannot be used: {error.strerror}")
