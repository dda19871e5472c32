"""What an operator may decide: every setting, where it comes from, its default and its limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import values
from .choices import DefaultTier, Environment, LogFormat, LogLevel, MongoDriver
from .reader import Reader
from .values import DEVELOPMENT_ISSUER

if TYPE_CHECKING:
    from datastores.ledger import FeeSchedule
    from gateway.budgets import CostLimits
    from gateway.services import Upstream

MAX_COST_PER_REQUEST: Final = 100_000
MAX_COST_BUCKET: Final = 999_999_999
# One core resolves about a million units a second: a client gets half a second of it at once, then a fiftieth.
PRODUCTION_COST_BUCKET: Final = 500_000
PRODUCTION_COST_RESTORE_PER_S: Final = 20_000
# A person has a few devices with a few tabs each; behind one address may be a household, an office or a village.
PRODUCTION_SOCKETS_PER_CLIENT: Final = 100
PRODUCTION_SOCKETS_PER_ADDRESS: Final = 1_000
MAX_SOCKETS: Final = 200_000

__all__ = [
    "DEVELOPMENT_ISSUER",
    "DefaultTier",
    "Environment",
    "LogFormat",
    "LogLevel",
    "MongoDriver",
    "Settings",
    "SettingsError",
]


class SettingsError(Exception):
    """Settings that cannot be used; `problems` holds one line for every wrong value, none of which quotes a secret."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything an operator decides. Build it with `from_environment`; the defaults are those of development."""

    environment: Environment = Environment.DEVELOPMENT
    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = Path(".data")
    # May hold a password, so it is kept out of `repr` and of every message.
    mongodb_uri: str | None = field(default=None, repr=False)
    database: str = "agora"
    mongo_driver: MongoDriver = MongoDriver.MOTOR
    oidc_issuer: str | None = None
    oidc_audience: str | None = None
    oidc_jwks_url: str | None = None
    oidc_algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    allowed_origins: tuple[str, ...] = ()
    persisted_only: bool = False
    automatic_persisted_queries: bool = True
    # The sandbox makes money of nothing, so only whoever says so has it in production.
    sandbox_rail: bool = True
    # Opens the keys that sign receipts and those of people; in development one is made in the data folder.
    master_key: bytes | None = field(default=None, repr=False)
    # Nor does anybody trade at the rates of a table.
    sandbox_rates: bool = True
    # Basis points, then minimums by currency; as text, so that commands that need no ledger need not load it.
    fee_exchange: str = "50"
    fee_withdrawal: str = "0"
    fee_sale: str = "0"
    # The demo town moves any sum, while in production nobody is known before somebody has looked.
    default_tier: DefaultTier = DefaultTier.BUSINESS
    # Whoever develops receives webhooks on their own machine; in production that would be a way inside.
    webhooks_allow_private: bool = True
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.CONSOLE
    # A slow database or a far client needs another deadline than a screen on a fast network.
    request_deadline_s: float = 10.0
    # Must be shorter than the grace period of whatever stops the process.
    drain_s: float = 20.0
    # Every open socket takes memory: the machine's memory decides.
    max_sockets: int = 10_000
    # Of a person or a partner's key, and from an address before it is known who is there; in each process.
    max_sockets_per_client: int = 10_000
    max_sockets_per_address: int = 10_000
    # Whoever develops, tests or measures is one client that asks for all there is.
    cost_per_request: int = 100_000
    cost_bucket: int = 500_000_000
    cost_restore_per_s: int = 50_000_000
    # Where the services of others are, by the names that domains have for them; their tokens are secret.
    service_urls: tuple[tuple[str, str], ...] = ()
    service_tokens: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    service_payees: tuple[tuple[str, str], ...] = ()

    @property
    def is_production(self) -> bool:
        """Whether the stricter rules of production hold."""
        return self.environment is Environment.PRODUCTION

    @property
    def rails(self) -> frozenset[str]:
        """The rails through which money comes in and goes out."""
        return frozenset({"sandbox"}) if self.sandbox_rail else frozenset()

    @property
    def fees(self) -> FeeSchedule:
        """What acts cost."""
        from datastores.ledger import FeeSchedule, fee_of_text

        texts = (self.fee_exchange, self.fee_withdrawal, self.fee_sale)
        return FeeSchedule(*(fee_of_text(text) for text in texts))

    @property
    def costs(self) -> CostLimits:
        """What each client may ask for."""
        from gateway.budgets import CostLimits

        return CostLimits(self.cost_per_request, self.cost_bucket, self.cost_restore_per_s)

    @property
    def services(self) -> Mapping[str, Upstream]:
        """The services of others that are connected, by name."""
        from gateway.services import Upstream

        tokens, payees = dict(self.service_tokens), dict(self.service_payees)
        return {name: Upstream(url, tokens.get(name), payees.get(name)) for name, url in self.service_urls}

    @staticmethod
    def environment_of_child(mongodb_uri: str) -> dict[str, str]:
        """The environment of this process, for another of its kind that uses this database."""
        return {**os.environ, "MONGODB_URI": mongodb_uri}

    @classmethod
    def of_process(cls, default_environment: Environment = Environment.DEVELOPMENT) -> Settings:
        """The settings of this process's own environment; see `from_environment`."""
        return cls.from_environment(os.environ, default_environment=default_environment)

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], *, default_environment: Environment = Environment.DEVELOPMENT
    ) -> Settings:
        """The settings in `environ`; an empty value counts as absent.

        Raises `SettingsError` with every problem at once: wrong values, names that do not exist, and what production
        requires. `default_environment` holds where `AGORA_ENVIRONMENT` is absent.
        """
        reader = Reader(environ)
        environment = reader.choice("AGORA_ENVIRONMENT", Environment, default_environment)
        persisted_only = reader.flag("AGORA_PERSISTED_ONLY", default=False)
        default_tier = DefaultTier.UNVERIFIED if environment is Environment.PRODUCTION else cls.default_tier
        log_format = LogFormat.JSON if environment is Environment.PRODUCTION else LogFormat.CONSOLE
        cost_bucket, cost_restore_per_s = cls.cost_bucket, cls.cost_restore_per_s
        if environment is Environment.PRODUCTION:
            cost_bucket, cost_restore_per_s = PRODUCTION_COST_BUCKET, PRODUCTION_COST_RESTORE_PER_S
        max_sockets = reader.value("AGORA_MAX_SOCKETS", values.whole_number(1, MAX_SOCKETS), cls.max_sockets)
        per_client = per_address = max_sockets
        if environment is Environment.PRODUCTION:
            per_client, per_address = PRODUCTION_SOCKETS_PER_CLIENT, PRODUCTION_SOCKETS_PER_ADDRESS
        services = reader.service_names()
        settings = cls(
            environment=environment,
            host=reader.value("AGORA_HOST", values.host, cls.host),
            port=reader.value("AGORA_PORT", values.whole_number(0, 65_535), cls.port),
            data_dir=reader.value("AGORA_DATA_DIR", values.data_dir, cls.data_dir),
            mongodb_uri=reader.value("MONGODB_URI", values.mongodb_uri, None),
            database=reader.value("AGORA_DATABASE", values.database, cls.database),
            mongo_driver=reader.choice("AGORA_MONGO_DRIVER", MongoDriver, cls.mongo_driver),
            oidc_issuer=reader.value("AGORA_OIDC_ISSUER", values.issuer(environment), None),
            oidc_audience=reader.value("AGORA_OIDC_AUDIENCE", values.audience, None),
            oidc_jwks_url=reader.value("AGORA_OIDC_JWKS_URL", values.web_address(environment), None),
            oidc_algorithms=reader.value("AGORA_OIDC_ALGORITHMS", values.algorithms, cls.oidc_algorithms),
            allowed_origins=reader.value("AGORA_ALLOWED_ORIGINS", values.origins, cls.allowed_origins),
            persisted_only=persisted_only,
            automatic_persisted_queries=reader.flag("AGORA_APQ", default=not persisted_only),
            sandbox_rail=reader.flag("AGORA_SANDBOX_RAIL", default=environment is not Environment.PRODUCTION),
            master_key=reader.value("AGORA_MASTER_KEY", values.master_key, None),
            sandbox_rates=reader.flag("AGORA_SANDBOX_RATES", default=environment is not Environment.PRODUCTION),
            fee_exchange=reader.value("AGORA_FEES_EXCHANGE", values.fee, cls.fee_exchange),
            fee_withdrawal=reader.value("AGORA_FEES_WITHDRAWAL", values.fee, cls.fee_withdrawal),
            fee_sale=reader.value("AGORA_FEES_SALE", values.fee, cls.fee_sale),
            default_tier=reader.choice("AGORA_DEFAULT_TIER", DefaultTier, default_tier),
            webhooks_allow_private=reader.flag(
                "AGORA_WEBHOOKS_ALLOW_PRIVATE", default=environment is not Environment.PRODUCTION
            ),
            log_level=reader.choice("AGORA_LOG_LEVEL", LogLevel, cls.log_level),
            log_format=reader.choice("AGORA_LOG_FORMAT", LogFormat, log_format),
            request_deadline_s=reader.value("AGORA_REQUEST_DEADLINE_S", values.number(0.1, 60), cls.request_deadline_s),
            drain_s=reader.value("AGORA_DRAIN_S", values.number(0, 300), cls.drain_s),
            max_sockets=max_sockets,
            max_sockets_per_client=reader.value(
                "AGORA_MAX_SOCKETS_PER_CLIENT", values.whole_number(1, MAX_SOCKETS), per_client
            ),
            max_sockets_per_address=reader.value(
                "AGORA_MAX_SOCKETS_PER_ADDRESS", values.whole_number(1, MAX_SOCKETS), per_address
            ),
            cost_per_request=reader.value(
                "AGORA_COST_PER_REQUEST", values.whole_number(100, MAX_COST_PER_REQUEST), cls.cost_per_request
            ),
            cost_bucket=reader.value("AGORA_COST_BUCKET", values.whole_number(100, MAX_COST_BUCKET), cost_bucket),
            cost_restore_per_s=reader.value(
                "AGORA_COST_RESTORE_PER_S", values.whole_number(1, MAX_COST_BUCKET), cost_restore_per_s
            ),
            service_urls=reader.of_services(services, "URL", values.service_url(environment)),
            service_tokens=reader.of_services(services, "TOKEN", values.secret),
            service_payees=reader.of_services(services, "PAYEE", values.handle),
        )
        problems = (*reader.problems, *_contradictions(settings, reader), *reader.unknown_names())
        if problems:
            raise SettingsError(problems)
        return settings


def _contradictions(settings: Settings, reader: Reader) -> list[str]:
    # A name is looked up among those that were given, so a value that is merely wrong is not also called missing.
    problems = []
    if settings.is_production:
        required = ("MONGODB_URI", "AGORA_OIDC_ISSUER", "AGORA_OIDC_AUDIENCE", "AGORA_MASTER_KEY")
        problems += [f"{name} is required in production" for name in required if not reader.given(name)]
        if settings.webhooks_allow_private:
            problems.append("AGORA_WEBHOOKS_ALLOW_PRIVATE would open your network to partners: not in production")
    elif reader.given("AGORA_OIDC_ISSUER") != reader.given("AGORA_OIDC_AUDIENCE"):
        problems.append("AGORA_OIDC_ISSUER and AGORA_OIDC_AUDIENCE belong together: set both or neither")
    if reader.given("AGORA_OIDC_JWKS_URL") and not reader.given("AGORA_OIDC_ISSUER"):
        problems.append("AGORA_OIDC_JWKS_URL needs AGORA_OIDC_ISSUER beside it")
    if settings.cost_bucket < settings.cost_per_request:
        problems.append("AGORA_COST_BUCKET must hold AGORA_COST_PER_REQUEST, or what is allowed could never run")
    if settings.persisted_only and settings.automatic_persisted_queries:
        problems.append("AGORA_APQ lets any client register a document, which AGORA_PERSISTED_ONLY forbids: set one")
    return problems
