"""Settings that are one of a few words."""

from __future__ import annotations

from enum import StrEnum


class Environment(StrEnum):
    """Where the process runs; production refuses what is only safe on a developer's machine."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class MongoDriver(StrEnum):
    """Which asyncio driver talks to MongoDB."""

    MOTOR = "motor"
    PYMONGO = "pymongo"


class DefaultTier(StrEnum):
    """What limits hold for the wallets of people who were given no tier: those of `datastores/ledger/tiers.py`."""

    UNVERIFIED = "unverified"
    BASIC = "basic"
    VERIFIED = "verified"
    BUSINESS = "business"


class LogLevel(StrEnum):
    """The least severe record that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """One JSON object a line for machines, or coloured lines for people."""

    JSON = "json"
    CONSOLE = "console"
