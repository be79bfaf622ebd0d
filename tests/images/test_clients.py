"""What a build is told of this machine, and what never leaves it."""

import subprocess
from pathlib import Path

import pytest

from images.buildah import build_arguments
from images.clients import NoDebianSourceError, apt_settings, debian_sources, mirror, shell_settings

DEB822 = """\
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
"""


def test_addresses_are_passed_and_paths_are_not() -> None:
    text = shell_settings(
        {
            "UV_DEFAULT_INDEX": "https://user:pa ss@mirror.example/simple",
            "UV_INDEX_OURS_PASSWORD": "secret",
            "HTTPS_PROXY": "http://proxy.example:3128",
            "npm_config_registry": "https://mirror.example/npm",
            "UV_CACHE_DIR": "/home/me/cache",
            "SSL_CERT_FILE": "/home/me/authorities.crt",
            "HOME": "/home/me",
        }
    )
    said = subprocess.run(
        ["sh", "-c", text + '\necho "$UV_DEFAULT_INDEX|$HTTPS_PROXY|$npm_config_registry|$UV_INDEX_OURS_PASSWORD"'],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert (
        said == "https://user:pa ss@mirror.example/simple|http://proxy.example:3128|https://mirror.example/npm|secret\n"
    )
    assert "/home/me" not in text


def test_apt_keeps_the_network_part_of_the_machine() -> None:
    dump = 'APT::Architecture "arm64";\nAcquire::http::Proxy "http://proxy.example:3142";\nAcquire::https::CaInfo "/home/me/ca";\n'
    text = apt_settings(dump)
    assert 'Acquire::http::Proxy "http://proxy.example:3142";' in text
    assert "arm64" not in text
    assert "/home/me" not in text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list.d/debian.sources", DEB822),
        (
            "sources.list",
            "# deb http://other.example bookworm main\ndeb [signed-by=/k] http://mirror.example/debian bookworm main\n",
        ),
    ],
)
def test_the_archive_is_the_one_of_this_machine(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text)
    found = debian_sources(tmp_path)
    assert found == {name: text}
    assert mirror(found) == "http://mirror.example/debian"


def test_another_system_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(
        "# deb http://mirror.example/debian bookworm main\ndeb http://mirror.example noble main\n"
    )
    with pytest.raises(NoDebianSourceError, match="--base"):
        debian_sources(tmp_path)


def test_the_command_line_of_a_build(tmp_path: Path) -> None:
    command = build_arguments(
        tag="t:1",
        base="b:1",
        arguments={"JAX": "cpu"},
        labels={"title": "x y"},
        clients=tmp_path / "c",
        cache=tmp_path / "p",
        context=tmp_path / "f",
    )
    assert command[:2] == ["buildah", "bud"]
    assert command[-3:] == ["--tag", "t:1", str(tmp_path / "f")]
    joined = " ".join(command)
    assert "--isolation chroot --network host --pull-never" in joined
    assert "--build-arg BASE=b:1 --build-arg JAX=cpu" in joined
    assert f"--build-context clients={tmp_path}/c --volume {tmp_path}/p:/run/cache" in joined
    assert "--secret" not in joined
    assert command[command.index("--label") + 1] == "title=x y"
