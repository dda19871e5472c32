"""The commit loop, through which every numbered log and the ledger are written."""

from .loops import DEFAULT_TIMEOUT_S, MAX_ACTS, MAX_WEIGHT, CommitLoop, CommitLoops, CommitStatistics
from .turns import Turns
from .work import Act, NotReadError, Read, Work, by_fields, by_id, by_new_id, last_row

__all__ = [
    "DEFAULT_TIMEOUT_S",
    "MAX_ACTS",
    "MAX_WEIGHT",
    "Act",
    "CommitLoop",
    "CommitLoops",
    "CommitStatistics",
    "NotReadError",
    "Read",
    "Turns",
    "Work",
    "by_fields",
    "by_id",
    "by_new_id",
    "last_row",
]
