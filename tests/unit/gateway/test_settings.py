"""Settings are read from the environment, and every wrong one is reported at once."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from datastores.ledger import Fee, FeeSchedule
from gateway.budgets import CostLimits
from gateway.services import Upstream
from gateway.settings import (
    DefaultTier,
    Environment,
    LogFormat,
    LogLevel,
    MongoDriver,
    Settings,
    SettingsError,
)

PRODUCTION = {
    "AGORA_ENVIRONMENT": "production",
    "MONGODB_URI": "mongodb://gateway:s3cret@db.example.org/?replicaSet=rs0",
    "AGORA_OIDC_ISSUER": "https://login.example.org/",
    "AGORA_OIDC_AUDIENCE": "https://graph.example.org",
    "AGORA_MASTER_KEY": base64.b64encode(b"m" * 32).decode(),
}


def problems(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(environ)
    return refused.value.problems


def test_an_empty_environment_is_development() -> None:
    settings = Settings.from_environment({})

    assert settings == Settings()
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 8000, Path(".data"))
    assert settings.environment is Environment.DEVELOPMENT
    assert settings.log_format is LogFormat.CONSOLE
    assert settings.oidc_algorithms == ("RS256", "ES256", "EdDSA")


def test_webhooks_go_inside_in_development_alone() -> None:
    assert Settings.from_environment({}).webhooks_allow_private
    assert not Settings.from_environment(PRODUCTION).webhooks_allow_private
    assert problems({**PRODUCTION, "AGORA_WEBHOOKS_ALLOW_PRIVATE": "true"}) == (
        "AGORA_WEBHOOKS_ALLOW_PRIVATE would open your network to partners: not in production",
    )


def test_every_setting_is_read(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        PRODUCTION
        | {
            "AGORA_HOST": "0.0.0.0",
            "AGORA_PORT": "0",
            "AGORA_DATA_DIR": str(tmp_path),
            "AGORA_DATABASE": "town-2",
            "AGORA_MONGO_DRIVER": "PyMongo",
            "AGORA_OIDC_JWKS_URL": "https://keys.example.org/jwks.json",
            "AGORA_OIDC_ALGORITHMS": "ES256, PS512,ES256",
            "AGORA_ALLOWED_ORIGINS": "https://app.example.org, http://localhost:5173",
            "AGORA_PERSISTED_ONLY": "yes",
            "AGORA_SANDBOX_RAIL": "on",
            "AGORA_SANDBOX_RATES": "on",
            "AGORA_FEES_EXCHANGE": "25, EUR 0.05",
            "AGORA_FEES_WITHDRAWAL": "0, EUR 1.00",
            "AGORA_FEES_SALE": "290",
            "AGORA_DEFAULT_TIER": "Basic",
            "AGORA_WEBHOOKS_ALLOW_PRIVATE": "false",
            "AGORA_LOG_LEVEL": "WARNING",
            "AGORA_LOG_FORMAT": "console",
            "AGORA_REQUEST_DEADLINE_S": "2.5",
            "AGORA_DRAIN_S": "0",
            "AGORA_MAX_SOCKETS": "20",
            "AGORA_MAX_SOCKETS_PER_CLIENT": "7",
            "AGORA_MAX_SOCKETS_PER_ADDRESS": "15",
            "AGORA_COST_PER_REQUEST": "5000",
            "AGORA_COST_BUCKET": "20000",
            "AGORA_COST_RESTORE_PER_S": "750",
            "AGORA_SERVICE_RIDES_URL": "https://rides.example.org/v1",
            "AGORA_SERVICE_RIDES_TOKEN": "t0ken",
            "AGORA_SERVICE_RIDES_PAYEE": "victor",
            "PATH": "/bin",
        }
    )

    assert settings == Settings(
        environment=Environment.PRODUCTION,
        host="0.0.0.0",
        port=0,
        data_dir=tmp_path,
        mongodb_uri=PRODUCTION["MONGODB_URI"],
        database="town-2",
        mongo_driver=MongoDriver.PYMONGO,
        oidc_issuer="https://login.example.org/",
        oidc_audience="https://graph.example.org",
        oidc_jwks_url="https://keys.example.org/jwks.json",
        oidc_algorithms=("ES256", "PS512"),
        allowed_origins=("https://app.example.org", "http://localhost:5173"),
        persisted_only=True,
        automatic_persisted_queries=False,
        sandbox_rail=True,
        master_key=b"m" * 32,
        sandbox_rates=True,
        fee_exchange="25, EUR 0.05",
        fee_withdrawal="0, EUR 1.00",
        fee_sale="290",
        default_tier=DefaultTier.BASIC,
        webhooks_allow_private=False,
        log_level=LogLevel.WARNING,
        log_format=LogFormat.CONSOLE,
        request_deadline_s=2.5,
        drain_s=0.0,
        max_sockets=20,
        max_sockets_per_client=7,
        max_sockets_per_address=15,
        cost_per_request=5_000,
        cost_bucket=20_000,
        cost_restore_per_s=750,
        service_urls=(("rides", "https://rides.example.org/v1"),),
        service_tokens=(("rides", "t0ken"),),
        service_payees=(("rides", "victor"),),
    )
    assert settings.services == {"rides": Upstream("https://rides.example.org/v1", "t0ken", "victor")}
    assert "t0ken" not in repr(settings) + repr(settings.services)
    assert settings.costs == CostLimits(5_000, 20_000, 750)


def test_production_gives_each_client_less() -> None:
    development, production = Settings.from_environment({}).costs, Settings.from_environment(PRODUCTION).costs

    assert development == CostLimits()
    assert production.per_request <= production.bucket < development.bucket
    assert production.restore_per_s < development.restore_per_s


def test_production_gives_each_client_fewer_sockets() -> None:
    development = Settings.from_environment({"AGORA_MAX_SOCKETS": "30000"})
    production = Settings.from_environment({**PRODUCTION, "AGORA_MAX_SOCKETS": "30000"})

    assert (development.max_sockets_per_client, development.max_sockets_per_address) == (30_000, 30_000)
    assert (production.max_sockets_per_client, production.max_sockets_per_address) == (100, 1_000)


@pytest.mark.parametrize("text", ["short", "c2hvcnQ=", "m" * 32, "!" * 44])
def test_a_master_key_is_32_bytes_and_never_quoted(text: str) -> None:
    (problem,) = problems({"AGORA_MASTER_KEY": text})

    assert problem.startswith("AGORA_MASTER_KEY must be 32 random bytes in base64")
    assert text not in problem.replace("base64", "")
    assert "mmmm" not in repr(Settings(master_key=b"m" * 32))


def test_production_makes_no_money_out_of_nothing() -> None:
    assert Settings.from_environment(PRODUCTION).rails == frozenset()
    assert Settings.from_environment({}).rails == {"sandbox"}
    assert not Settings.from_environment(PRODUCTION).sandbox_rates
    assert Settings.from_environment({}).sandbox_rates


def test_fees_are_basis_points_and_minimums() -> None:
    assert Settings.from_environment({}).fees == FeeSchedule()
    assert Settings.from_environment({"AGORA_FEES_SALE": "290, EUR 0.30"}).fees.sale == Fee(290, (("EUR", 30),))


def test_all_problems_are_reported_at_once() -> None:
    found = problems(
        {
            "AGORA_PORT": "99999",
            "AGORA_MONGO_DRIVER": "mongoose",
            "AGORA_LOG_LEVEL": "loud",
            "AGORA_PERSISTED_ONLY": "maybe",
            "AGORA_REQUEST_DEADLINE_S": "inf",
            "AGORA_OIDC_ALGORITHMS": "RS256,HS256,none",
            "AGORA_ALLOWED_ORIGINS": "https://*.example.org",
            "AGORA_OIDC_ISSUER": "login.example.org",
            "MONGODB_URI": "postgres://gateway:s3cret@db",
            "AGORA_DATABSE": "typo",
        }
    )

    assert [line.split()[0] for line in found] == [
        "AGORA_PERSISTED_ONLY",
        "AGORA_PORT",
        "MONGODB_URI",
        "AGORA_MONGO_DRIVER",
        "AGORA_OIDC_ISSUER",
        "AGORA_OIDC_ALGORITHMS",
        "AGORA_ALLOWED_ORIGINS",
        "AGORA_LOG_LEVEL",
        "AGORA_REQUEST_DEADLINE_S",
        "AGORA_OIDC_ISSUER",
        "AGORA_DATABSE",
    ]
    assert "did you mean AGORA_DATABASE?" in found[-1]
    assert "HS256, none" in found[5]
    assert not any("\n" in line for line in found)


def test_production_requires_a_database_and_an_issuer() -> None:
    found = problems({"AGORA_ENVIRONMENT": "production"})

    assert found == (
        "MONGODB_URI is required in production",
        "AGORA_OIDC_ISSUER is required in production",
        "AGORA_OIDC_AUDIENCE is required in production",
        "AGORA_MASTER_KEY is required in production",
    )


@pytest.mark.parametrize("issuer", ["urn:agora:development", "http://login.example.org"])
def test_production_refuses_an_issuer_that_anyone_could_be(issuer: str) -> None:
    found = problems(PRODUCTION | {"AGORA_OIDC_ISSUER": issuer})

    assert len(found) == 1
    assert found[0].startswith("AGORA_OIDC_ISSUER must")


def test_the_environment_may_be_chosen_by_the_command() -> None:
    with pytest.raises(SettingsError):
        Settings.from_environment({}, default_environment=Environment.PRODUCTION)
    chosen = Settings.from_environment({"AGORA_ENVIRONMENT": "development"}, default_environment=Environment.PRODUCTION)

    assert not chosen.is_production


@pytest.mark.parametrize(
    ("environ", "fragment"),
    [
        ({"AGORA_OIDC_ISSUER": "https://login.example.org"}, "belong together"),
        ({"AGORA_OIDC_AUDIENCE": "graph"}, "belong together"),
        ({"AGORA_OIDC_JWKS_URL": "https://login.example.org/jwks"}, "needs AGORA_OIDC_ISSUER"),
        ({"AGORA_PERSISTED_ONLY": "1", "AGORA_APQ": "1"}, "AGORA_APQ"),
        ({"AGORA_FEES_SALE": "3 %"}, "AGORA_FEES_SALE must begin with basis points"),
        ({"AGORA_FEES_EXCHANGE": "50, EUR 0.001"}, "AGORA_FEES_EXCHANGE has a minimum that is no amount"),
        ({"AGORA_COST_PER_REQUEST": "100001"}, "from 100 to 100000"),
        ({"AGORA_COST_BUCKET": "99999"}, "AGORA_COST_BUCKET must hold AGORA_COST_PER_REQUEST"),
        ({"AGORA_COST_RESTORE_PER_S": "0"}, "AGORA_COST_RESTORE_PER_S must be"),
        ({"AGORA_HOST": "two words"}, "AGORA_HOST"),
        ({"AGORA_DATABASE": "a/b"}, "AGORA_DATABASE"),
        ({"AGORA_ALLOWED_ORIGINS": "https://app.example.org/"}, "without a path"),
        ({"AGORA_ALLOWED_ORIGINS": "null"}, "AGORA_ALLOWED_ORIGINS"),
        ({"AGORA_ALLOWED_ORIGINS": "https://app.example.org:99999"}, "AGORA_ALLOWED_ORIGINS"),
        ({"AGORA_ALLOWED_ORIGINS": ",".join(f"https://a{n}.example.org" for n in range(51))}, "at most 50"),
        ({"AGORA_PORT": "-1"}, "AGORA_PORT"),
        ({"AGORA_PORT": "٣"}, "AGORA_PORT"),
        ({"AGORA_DRAIN_S": "1e3"}, "AGORA_DRAIN_S"),
        ({"AGORA_SERVICE_RIDES_URL": "rides"}, "AGORA_SERVICE_RIDES_URL must be"),
        ({"AGORA_SERVICE_RIDES_URL": "https://u:secret@rides.example.org"}, "without a user name"),
        ({"AGORA_SERVICE_RIDES_TOKEN": "t0ken"}, "AGORA_SERVICE_RIDES_TOKEN is not a setting"),
        ({f"AGORA_SERVICE_S{n}_URL": "https://s.example.org" for n in range(21)}, "at most 20 services"),
    ],
)
def test_what_cannot_work_is_refused(environ: dict[str, str], fragment: str) -> None:
    found = problems(environ)

    assert len(found) == 1
    assert fragment in found[0]


def test_a_file_is_no_data_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()

    assert "AGORA_DATA_DIR" in problems({"AGORA_DATA_DIR": str(tmp_path / "taken")})[0]


def test_the_password_of_the_database_is_never_shown() -> None:
    assert "s3cret" not in repr(Settings.from_environment(PRODUCTION))
    assert "s3cret" not in str(problems({"MONGODB_URI": "mongo://gateway:s3cret@db"}))


def test_empty_values_count_as_absent() -> None:
    assert Settings.from_environment({"AGORA_PORT": " ", "MONGODB_URI": "", "AGORA_NONSENSE": ""}) == Settings()
