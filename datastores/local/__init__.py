"""The local database: a real single-node replica set on this machine that lives and dies with this process."""

from __future__ import annotations

from .failures import DataDirLocked, DataDirUnusable, LocalDatabaseError, NoLocalDatabase
from .programs import Mongod, Program, Secantus, find_program
from .server import LocalDatabase, local_database

__all__ = [
    "DataDirLocked",
    "DataDirUnusable",
    "LocalDatabase",
    "LocalDatabaseError",
    "Mongod",
    "NoLocalDatabase",
    "Program",
    "Secantus",
    "find_program",
    "local_database",
]
