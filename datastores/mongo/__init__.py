"""The seam to MongoDB: one `Database` over Motor or PyMongo's asyncio client, and transactions on it."""

from .connecting import WrongDatabaseError, is_away
from .database import MAJORITY, Database
from .reading import MAX_LIMIT
from .sessions import Session
from .transactions import add_to_counters, insert_in_batches, run_transaction
from .types import Document, Driver, Filter, OnCommand, Sort
from .writes import Delete, Insert, Replace, Update, Write

__all__ = [
    "MAJORITY",
    "MAX_LIMIT",
    "Database",
    "Delete",
    "Document",
    "Driver",
    "Filter",
    "Insert",
    "OnCommand",
    "Replace",
    "Session",
    "Sort",
    "Update",
    "Write",
    "WrongDatabaseError",
    "add_to_counters",
    "insert_in_batches",
    "is_away",
    "run_transaction",
]
