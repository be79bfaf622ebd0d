"""A small Debian 12 from Debian's own archive, for machines that reach no registry of images."""

import shutil
from pathlib import Path
from typing import TextIO

from images.commands import run

# As in the slim images of registries: packages installed later leave out what no container reads, too.
SLIM = """\
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/lintian/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
"""
# debootstrap copies the machine's own name and name servers, and writes the archive's address.
OF_THE_MACHINE = ("etc/hostname", "etc/resolv.conf", "etc/apt/sources.list")


def bootstrap(folder: Path, mirror: str, log: TextIO) -> None:
    """Make the root file system in `folder`; raises `subprocess.CalledProcessError`, its reason is in the log."""
    run(["debootstrap", "--variant=minbase", "bookworm", str(folder), mirror], log)
    for name in OF_THE_MACHINE:
        (folder / name).unlink(missing_ok=True)
    (folder / "etc/dpkg/dpkg.cfg.d/slim").write_text(SLIM, encoding="utf-8")
    # No package starts a service while it is installed.
    policy = folder / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    policy.chmod(0o755)
    for name in ("info", "lintian", "locale", "man"):
        _empty(folder / "usr/share" / name)
    for file in (folder / "usr/share/doc").rglob("*"):
        if file.name != "copyright" and not file.is_dir():
            file.unlink()
    for name in ("var/cache/apt", "var/lib/apt/lists", "var/log"):
        _empty(folder / name)
    # Written anew when a package with a library is configured; a stale one only makes programs start slower.
    shutil.rmtree(folder / "var/cache/ldconfig", ignore_errors=True)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
