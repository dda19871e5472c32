"""What deployments are made of is valid and hardened, and says what the code says; no Docker or cluster is asked."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import Environment, Settings, SettingsError
from schema.graph import DOMAINS

# It comes with the tools that only this folder needs, and has no types.
yaml: Any = import_module("yaml")
ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
YAML = sorted(DEPLOY.rglob("*.yaml"))
KUBERNETES_VERSIONS = ("1.31", "1.34")


def run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A tool of this environment, in the checkout."""
    command = [str(Path(sys.executable).with_name(tool)), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


COMPOSE = load(DEPLOY / "compose.yaml")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
UNIT = (DEPLOY / "systemd" / "agora.service").read_text(encoding="utf-8")


def manifest(kind: str) -> Any:
    (found,) = [load(path) for path in MANIFESTS if load(path)["kind"] == kind]
    return found


def test_yaml_is_tidy() -> None:
    files = [str(path) for path in YAML if "node_modules" not in path.parts]

    answer = run("yamllint", "--strict", "--config-file", str(DEPLOY / "yamllint.yaml"), *files)

    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_manifests_are_what_kubernetes_knows(version: str) -> None:
    answer = run("kubernetes-validate", "--strict", "--version", version, *map(str, MANIFESTS))

    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_all_manifests_are_applied_but_the_example() -> None:
    kustomization = load(DEPLOY / "kubernetes" / "kustomization.yaml")

    assert {*kustomization["resources"], "secret.example.yaml"} == {path.name for path in MANIFESTS}
    if (kubectl := shutil.which("kubectl")) is None:
        pytest.skip("kubectl is missing: what it makes of the kustomization is not seen")
    command = [kubectl, "kustomize", str(DEPLOY / "kubernetes")]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
    deployment = next(each for each in yaml.safe_load_all(made.stdout) if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.org/agora:0.1.0"
    assert deployment["metadata"]["namespace"] == "agora"


def test_the_compose_file_is_what_its_specification_says() -> None:
    answer = run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml"))

    assert answer.returncode == 0, answer.stdout


@pytest.mark.skipif(not Path(sys.executable).with_name("hadolint").exists(), reason="hadolint is for Linux on x86-64")
def test_the_dockerfile_has_nothing_that_its_linter_minds() -> None:
    answer = run("hadolint", "--failure-threshold", "style", str(DEPLOY / "Dockerfile"))

    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    here = tmp_path / "agora.service"
    program, environment = Path(sys.executable).with_name("agora"), tmp_path / "agora.env"
    environment.touch()
    text = UNIT.replace("/opt/agora/bin/agora", str(program)).replace("/etc/agora/agora.env", str(environment))
    here.write_text(text)

    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(here)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    said = [line for line in answer.stderr.splitlines() if "agora.service" in line]
    assert (answer.returncode, said) == (0, [])


def test_no_pod_runs_as_root_or_writes_its_own_files() -> None:
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    security = container["securityContext"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in DOCKERFILE


def test_probes_ask_what_the_gateway_answers() -> None:
    (container,) = manifest("Deployment")["spec"]["template"]["spec"]["containers"]

    assert container["livenessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert "/livez" in DOCKERFILE


def test_everything_waits_longer_than_the_gateway_drains() -> None:
    drain_s = float(manifest("ConfigMap")["data"]["AGORA_DRAIN_S"])
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    pause_s = float(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    unit_s = float(re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, flags=re.MULTILINE)[0])
    compose_s = float(COMPOSE["x-gateway"]["stop_grace_period"].removesuffix("s"))

    assert drain_s == Settings.drain_s
    assert pod["terminationGracePeriodSeconds"] > drain_s + pause_s
    assert min(unit_s, compose_s) > Settings.drain_s


def test_a_disruption_budget_an_autoscaler_and_a_policy_are_for_the_deployment() -> None:
    labels = manifest("Deployment")["spec"]["template"]["metadata"]["labels"]
    scaler = manifest("HorizontalPodAutoscaler")["spec"]

    assert manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert manifest("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    assert manifest("Service")["spec"]["selector"] == labels
    assert scaler["scaleTargetRef"]["name"] == manifest("Deployment")["metadata"]["name"]
    assert 2 <= scaler["minReplicas"] < scaler["maxReplicas"]


@pytest.mark.parametrize("source", ["kubernetes", "compose"])
def test_settings_are_those_of_production(source: str) -> None:
    if source == "kubernetes":
        given = manifest("ConfigMap")["data"] | manifest("Secret")["stringData"]
    else:
        lines = (DEPLOY / "agora.env.example").read_text(encoding="utf-8").splitlines()
        given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    given["AGORA_MASTER_KEY"] = "bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0="
    given |= dict(re.findall(r"\b(AGORA_\w+)=(\S+)", DOCKERFILE))

    settings = Settings.from_environment(given, default_environment=Environment.PRODUCTION)

    assert settings.is_production
    assert (settings.host, settings.port) == ("0.0.0.0", 8000)


def test_the_example_secret_is_refused_as_it_is() -> None:
    given = manifest("ConfigMap")["data"] | manifest("Secret")["stringData"]

    with pytest.raises(SettingsError, match="AGORA_MASTER_KEY"):
        Settings.from_environment(given, default_environment=Environment.PRODUCTION)


def test_the_image_is_made_of_locked_packages_and_names_no_place_to_get_them() -> None:
    text = DOCKERFILE + (ROOT / ".dockerignore").read_text(encoding="utf-8")

    assert "--require-hashes --requirement requirements.txt" in DOCKERFILE
    assert not re.search(r"index-url|extra-index|trusted-host|https?://(?!127\.0\.0\.1)", text)


def test_compose_runs_every_domain_and_a_set_of_three_nodes() -> None:
    services = COMPOSE["services"]
    commands = {name: service.get("command") for name, service in services.items()}
    nodes = [name for name, service in services.items() if "--replSet" in (service.get("command") or [])]

    for domain in DOMAINS:
        assert commands[domain.name] == ["agora", "subgraph", domain.name]
    assert len(nodes) == 3
    assert COMPOSE["networks"]["data"]["internal"] is True
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        # Nothing is published but on this machine.
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.skipif(not (DEPLOY / "hive").is_dir(), reason="this checkout has no configuration of a router")
def test_what_compose_mounts_is_there() -> None:
    mounts = [volume for service in COMPOSE["services"].values() for volume in service.get("volumes", [])]
    paths = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]

    assert [path for path in paths if not (DEPLOY / path).exists()] == []
