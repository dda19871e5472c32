"""What an operator may decide: every setting, where it comes from, its default and its limits."""

from __future__ import annotations

import base64
import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from datastores.ledger import FeeSchedule
    from gateway.budgets import CostLimits
    from gateway.services import Upstream

PREFIX: Final = "AGORA_"
DEVELOPMENT_ISSUER: Final = "urn:agora:development"
MAX_ALLOWED_ORIGINS: Final = 50
MASTER_KEY_BYTES: Final = 32
MAX_COST_PER_REQUEST: Final = 100_000
MAX_COST_BUCKET: Final = 999_999_999
# One core resolves about a million units a second: a client gets half a second of it at once, then a fiftieth.
PRODUCTION_COST_BUCKET: Final = 500_000
PRODUCTION_COST_RESTORE_PER_S: Final = 20_000
# A person has a few devices with a few tabs each; behind one address may be a household, an office or a village.
PRODUCTION_SOCKETS_PER_CLIENT: Final = 100
PRODUCTION_SOCKETS_PER_ADDRESS: Final = 1_000
MAX_SOCKETS: Final = 200_000
ASYMMETRIC_ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
TRUE_WORDS: Final = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS: Final = frozenset({"0", "false", "no", "off"})
DATABASE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,38}")
MAX_SERVICES: Final = 20
SERVICE_URL: Final = re.compile(r"AGORA_SERVICE_([A-Z][A-Z0-9]{0,30})_URL")
HOST_NAME: Final = re.compile(r"[A-Za-z0-9._:%-]{1,255}")

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


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
        reader = _Reader(environ)
        environment = reader.choice("AGORA_ENVIRONMENT", Environment, default_environment)
        persisted_only = reader.flag("AGORA_PERSISTED_ONLY", default=False)
        default_tier = DefaultTier.UNVERIFIED if environment is Environment.PRODUCTION else cls.default_tier
        log_format = LogFormat.JSON if environment is Environment.PRODUCTION else LogFormat.CONSOLE
        cost_bucket, cost_restore_per_s = cls.cost_bucket, cls.cost_restore_per_s
        if environment is Environment.PRODUCTION:
            cost_bucket, cost_restore_per_s = PRODUCTION_COST_BUCKET, PRODUCTION_COST_RESTORE_PER_S
        max_sockets = reader.value("AGORA_MAX_SOCKETS", _whole_number(1, MAX_SOCKETS), cls.max_sockets)
        per_client = per_address = max_sockets
        if environment is Environment.PRODUCTION:
            per_client, per_address = PRODUCTION_SOCKETS_PER_CLIENT, PRODUCTION_SOCKETS_PER_ADDRESS
        services = reader.service_names()
        settings = cls(
            environment=environment,
            host=reader.value("AGORA_HOST", _host, cls.host),
            port=reader.value("AGORA_PORT", _whole_number(0, 65_535), cls.port),
            data_dir=reader.value("AGORA_DATA_DIR", _data_dir, cls.data_dir),
            mongodb_uri=reader.value("MONGODB_URI", _mongodb_uri, None),
            database=reader.value("AGORA_DATABASE", _database, cls.database),
            mongo_driver=reader.choice("AGORA_MONGO_DRIVER", MongoDriver, cls.mongo_driver),
            oidc_issuer=reader.value("AGORA_OIDC_ISSUER", _issuer(environment), None),
            oidc_audience=reader.value("AGORA_OIDC_AUDIENCE", _audience, None),
            oidc_jwks_url=reader.value("AGORA_OIDC_JWKS_URL", _web_address(environment), None),
            oidc_algorithms=reader.value("AGORA_OIDC_ALGORITHMS", _algorithms, cls.oidc_algorithms),
            allowed_origins=reader.value("AGORA_ALLOWED_ORIGINS", _origins, cls.allowed_origins),
            persisted_only=persisted_only,
            automatic_persisted_queries=reader.flag("AGORA_APQ", default=not persisted_only),
            sandbox_rail=reader.flag("AGORA_SANDBOX_RAIL", default=environment is not Environment.PRODUCTION),
            master_key=reader.value("AGORA_MASTER_KEY", _master_key, None),
            sandbox_rates=reader.flag("AGORA_SANDBOX_RATES", default=environment is not Environment.PRODUCTION),
            fee_exchange=reader.value("AGORA_FEES_EXCHANGE", _fee, cls.fee_exchange),
            fee_withdrawal=reader.value("AGORA_FEES_WITHDRAWAL", _fee, cls.fee_withdrawal),
            fee_sale=reader.value("AGORA_FEES_SALE", _fee, cls.fee_sale),
            default_tier=reader.choice("AGORA_DEFAULT_TIER", DefaultTier, default_tier),
            webhooks_allow_private=reader.flag(
                "AGORA_WEBHOOKS_ALLOW_PRIVATE", default=environment is not Environment.PRODUCTION
            ),
            log_level=reader.choice("AGORA_LOG_LEVEL", LogLevel, cls.log_level),
            log_format=reader.choice("AGORA_LOG_FORMAT", LogFormat, log_format),
            request_deadline_s=reader.value("AGORA_REQUEST_DEADLINE_S", _number(0.1, 60), cls.request_deadline_s),
            drain_s=reader.value("AGORA_DRAIN_S", _number(0, 300), cls.drain_s),
            max_sockets=max_sockets,
            max_sockets_per_client=reader.value(
                "AGORA_MAX_SOCKETS_PER_CLIENT", _whole_number(1, MAX_SOCKETS), per_client
            ),
            max_sockets_per_address=reader.value(
                "AGORA_MAX_SOCKETS_PER_ADDRESS", _whole_number(1, MAX_SOCKETS), per_address
            ),
            cost_per_request=reader.value(
                "AGORA_COST_PER_REQUEST", _whole_number(100, MAX_COST_PER_REQUEST), cls.cost_per_request
            ),
            cost_bucket=reader.value("AGORA_COST_BUCKET", _whole_number(100, MAX_COST_BUCKET), cost_bucket),
            cost_restore_per_s=reader.value(
                "AGORA_COST_RESTORE_PER_S", _whole_number(1, MAX_COST_BUCKET), cost_restore_per_s
            ),
            service_urls=reader.of_services(services, "URL", _service_url(environment)),
            service_tokens=reader.of_services(services, "TOKEN", _secret),
            service_payees=reader.of_services(services, "PAYEE", _handle),
        )
        problems = (*reader.problems, *_contradictions(settings, reader), *reader.unknown_names())
        if problems:
            raise SettingsError(problems)
        return settings


def _contradictions(settings: Settings, reader: _Reader) -> list[str]:
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


class _Reader:
    """Takes values out of a mapping and remembers what was wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self._given = {name: text.strip() for name, text in environ.items() if text.strip()}
        self._known: set[str] = set()

    def given(self, name: str) -> bool:
        return name in self._given

    def value(self, name: str, parse: Callable[[str], T], default: T) -> T:
        self._known.add(name)
        if name not in self._given:
            return default
        try:
            return parse(self._given[name])
        except ValueError as error:
            self.problems.append(f"{name} {error}")
            return default

    def choice(self, name: str, kind: type[E], default: E) -> E:
        return self.value(name, _one_of(kind), default)

    def flag(self, name: str, *, default: bool) -> bool:
        return self.value(name, _flag, default)

    def service_names(self) -> tuple[str, ...]:
        """The services whose addresses were given, in lower case; more than 20 are a problem."""
        names = sorted(match[1] for name in self._given if (match := SERVICE_URL.fullmatch(name)))
        if len(names) > MAX_SERVICES:
            self.problems.append(f"AGORA_SERVICE_…_URL: at most {MAX_SERVICES} services can be connected")
        return tuple(name.lower() for name in names)

    def of_services(
        self, names: tuple[str, ...], what: str, parse: Callable[[str], str]
    ) -> tuple[tuple[str, str], ...]:
        """What was given of each service under this word."""
        found = ((name, self.value(f"AGORA_SERVICE_{name.upper()}_{what}", parse, "")) for name in names)
        return tuple((name, value) for name, value in found if value)

    def unknown_names(self) -> list[str]:
        unknown = sorted(name for name in self._given if name.startswith(PREFIX) and name not in self._known)
        return [self._unknown(name) for name in unknown]

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._known, n=1)
        return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")


def _one_of(kind: type[E]) -> Callable[[str], E]:
    def parse(text: str) -> E:
        try:
            return kind(text.lower())
        except ValueError:
            raise ValueError(f"must be one of {', '.join(kind)}, not {_quoted(text)}") from None

    return parse


def _whole_number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {_quoted(text)}")
        return int(text)

    return parse


def _number(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not least <= float(text) <= most:
            raise ValueError(f"must be a number of seconds from {least:g} to {most:g}, not {_quoted(text)}")
        return float(text)

    return parse


def _flag(text: str) -> bool:
    word = text.lower()
    if word not in TRUE_WORDS | FALSE_WORDS:
        raise ValueError(f"must be true or false, not {_quoted(text)}")
    return word in TRUE_WORDS


def _fee(text: str) -> str:
    from datastores.ledger import fee_of_text

    try:
        fee_of_text(text)
    except ValueError as error:
        raise ValueError(f"{error}, not {_quoted(text)}") from None
    return text


def _host(text: str) -> str:
    if not HOST_NAME.fullmatch(text):
        raise ValueError(f"must be a host name or an address, not {_quoted(text)}")
    return text


def _data_dir(text: str) -> Path:
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise ValueError("must be a folder; there is a file of that name")
    return path


def _mongodb_uri(text: str) -> str:
    if not re.match(r"mongodb(\+srv)?://[^/\s]", text):
        raise ValueError("must start with mongodb:// or mongodb+srv:// and name a host")
    return text


def _database(text: str) -> str:
    if not DATABASE_NAME.fullmatch(text):
        raise ValueError("must be 1 to 38 letters, digits, hyphens or underscores")
    return text


def _master_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != MASTER_KEY_BYTES:
        raise ValueError(f"must be {MASTER_KEY_BYTES} random bytes in base64, as `openssl rand -base64 32` makes them")
    return key


def _issuer(environment: Environment) -> Callable[[str], str]:
    address = _web_address(environment)

    def parse(text: str) -> str:
        if text == DEVELOPMENT_ISSUER:
            raise ValueError(f"must not be {DEVELOPMENT_ISSUER}: the development issuer is no issuer for others")
        if "?" in address(text):
            raise ValueError("must be an address without a query")
        return text

    return parse


def _web_address(environment: Environment) -> Callable[[str], str]:
    def parse(text: str) -> str:
        parts = _split(text)
        schemes = ("https",) if environment is Environment.PRODUCTION else ("https", "http")
        if parts.scheme not in schemes or not parts.hostname or parts.fragment or parts.username:
            raise ValueError(f"must be an {schemes[0]}:// address without a user name or fragment")
        return text

    return parse


def _service_url(environment: Environment) -> Callable[[str], str]:
    address = _web_address(environment)

    def parse(text: str) -> str:
        if "?" in address(text):
            raise ValueError("must be an address without a query")
        return text

    return parse


def _secret(text: str) -> str:
    if len(text) > 4_096 or not text.isascii() or not text.isprintable():
        raise ValueError("must be at most 4,096 printable ASCII characters")
    return text


def _handle(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_]{1,30}", text):
        raise ValueError(f"must be the handle of a person, not {_quoted(text)}")
    return text


def _audience(text: str) -> str:
    if len(text) > 255 or not text.isprintable():
        raise ValueError("must be at most 255 printable characters")
    return text


def _algorithms(text: str) -> tuple[str, ...]:
    names = _list(text)
    wrong = [name for name in names if name not in ASYMMETRIC_ALGORITHMS]
    if wrong or not names:
        raise ValueError(f"may list only {', '.join(ASYMMETRIC_ALGORITHMS)}, not {_quoted(', '.join(wrong) or text)}")
    return names


def _origins(text: str) -> tuple[str, ...]:
    origins = _list(text)
    if len(origins) > MAX_ALLOWED_ORIGINS:
        raise ValueError(f"may list at most {MAX_ALLOWED_ORIGINS} origins")
    wrong = [origin for origin in origins if not _is_origin(origin)]
    if wrong:
        raise ValueError(f"must list origins such as https://app.example.org, without a path, not {_quoted(wrong[0])}")
    return origins


def _is_origin(text: str) -> bool:
    try:
        parts = _split(text)
    except ValueError:
        return False
    # Browsers send the origin in lower case and without a path; anything else would never match.
    return (
        parts.scheme in {"http", "https"}
        and text == f"{parts.scheme}://{parts.netloc}" == text.lower()
        and (bool(parts.hostname) and "@" not in parts.netloc and "*" not in parts.netloc)
    )


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        # The port is only checked when it is read.
        _ = parts.port
    except ValueError:
        raise ValueError("must be an address") from None
    return parts


def _list(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
