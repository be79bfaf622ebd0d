"""The plan of a real lab: what each process is told, and what it is not."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import make_url

from kirzl_lab.cli.keys import Keys, keys_in
from kirzl_lab.cli.lab import Options, database_url, plan_for, settings_for
from kirzl_lab.cli.parts import Part
from kirzl_lab.cli.ports import Ports
from kirzl_lab.cli.state import Folder
from kirzl_lab.settings import Settings

PORTS = Ports(public=8000, proxy_api=8001, hub=8002, service=8003, demo=8004)


@pytest.fixture
def options(folder: Folder) -> Options:
    return Options(folder, Path("hub_config"), Path("courses"), demo=True)


@pytest.fixture
def keys(folder: Folder) -> Keys:
    return keys_in(folder.secrets)


@pytest.fixture
def parts(options: Options, keys: Keys) -> dict[str, Part]:
    starter = {
        "PATH": "/usr/bin",
        "HOME": "/home/student1",
        "KIRZL_LAB_DATA": "/elsewhere",
        "KIRZL_LAB_UNI_SECRET": "of-the-uni",
        "AWS_SECRET_ACCESS_KEY": "of-somebody-else",
    }
    plan = plan_for(options, PORTS, keys, Path("/opt/node/bin/node"), starter)
    return {part.name: part for part in plan.parts}


def test_every_part_reads_the_same_settings(parts: dict[str, Part], options: Options) -> None:
    for part in (parts["prepare"], parts["hub"], parts["service"]):
        assert Settings.from_environment(part.environment) == settings_for(options, PORTS)


def test_no_secret_is_an_argument(parts: dict[str, Part], keys: Keys) -> None:
    secrets = (
        keys.crypt_key,
        keys.proxy_token,
        keys.service_token,
        keys.receipt_keys,
        keys.cookie_secret_file.read_text(),
    )
    for part in parts.values():
        assert not any(secret in word for secret in secrets for word in part.argv)


def test_each_part_is_told_only_its_own_secrets(parts: dict[str, Part], keys: Keys) -> None:
    told = {
        name: {
            key
            for key in ("crypt_key", "proxy_token", "service_token", "receipt_keys")
            if getattr(keys, key) in part.environment.values()
        }
        for name, part in parts.items()
    }
    assert told == {
        "prepare": set(),
        "proxy": {"proxy_token"},
        "hub": {"crypt_key", "proxy_token", "service_token"},
        "service": {"service_token", "receipt_keys"},
        "demo": set(),
    }


def test_client_secrets_are_for_the_hub_and_for_what_sees_that_none_is_missing(parts: dict[str, Part]) -> None:
    told = {
        name: {secret for secret in ("of-the-uni", "of-somebody-else") if secret in part.environment.values()}
        for name, part in parts.items()
    }
    everything = {"of-the-uni", "of-somebody-else"}
    assert told == {"prepare": everything, "proxy": set(), "hub": everything, "service": set(), "demo": set()}
    assert [name for name, part in parts.items() if "demo-secret-uas" in part.environment.values()] == [
        *("prepare", "hub", "demo")
    ]


def test_every_part_has_a_home_and_finds_programs(parts: dict[str, Part]) -> None:
    assert {part.environment["HOME"] for part in parts.values()} == {"/home/student1"}
    assert all(part.environment["PATH"].endswith(":/opt/node/bin:/usr/bin") for part in parts.values())


def test_all_listen_on_loopback_alone(parts: dict[str, Part]) -> None:
    for name, flags in {"proxy": ["--ip", "--api-ip"], "service": ["--host"], "demo": ["--host"]}.items():
        argv = parts[name].argv
        assert [argv[argv.index(flag) + 1] for flag in flags] == ["127.0.0.1"] * len(flags)


def test_without_demo_no_demo_institution(options: Options, keys: Keys) -> None:
    bare = Options(options.folder, options.hub_config, options.courses)
    plan = plan_for(bare, PORTS, keys, Path("node"), {})
    assert [part.name for part in plan.parts] == ["prepare", "proxy", "hub", "service"]
    assert not any("KIRZL_LAB_DEMO_URL" in part.environment for part in plan.parts)
    assert not any("KIRZL_LAB_UAS_SECRET" in part.environment for part in plan.parts)


def test_a_sites_own_client_secret_wins_over_the_demos(options: Options, keys: Keys) -> None:
    plan = plan_for(options, PORTS, keys, Path("node"), {"KIRZL_LAB_UAS_SECRET": "theirs"})
    told = {part.name: part.environment.get("KIRZL_LAB_UAS_SECRET") for part in plan.parts}
    assert told == {"prepare": "theirs", "proxy": None, "hub": "theirs", "service": None, "demo": "theirs"}


def test_nothing_starts_before_what_it_needs(parts: dict[str, Part]) -> None:
    assert "prepare" in parts["hub"].after
    assert "prepare" in parts["service"].after
    assert parts["prepare"].check is None


@pytest.mark.parametrize("name", ["a b", "ü", "a#b", "a{b}", "50%", "a?b", "a%20b"])
def test_the_database_is_in_the_folder_whatever_its_name(tmp_path: Path, name: str) -> None:
    assert make_url(database_url(Folder.at(tmp_path / name))).database == str(tmp_path / name / "lab.sqlite")


def test_parts_are_asked_at_their_own_ports_and_the_proxy_once_at_last(options: Options, keys: Keys) -> None:
    plan = plan_for(options, PORTS, keys, Path("node"), {})
    asked = {part.name: urlsplit(part.check.url).port for part in plan.parts if part.check}
    assert asked == {"proxy": PORTS.proxy_api, "hub": PORTS.hub, "service": PORTS.service, "demo": PORTS.demo}
    assert plan.at_last is not None and urlsplit(plan.at_last.url).port == PORTS.public
