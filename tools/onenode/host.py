"""What the machine must have, and what on it is set back afterwards."""

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

from tools.onenode.configuration import CNI_PROGRAMS
from tools.onenode.paths import STATE

# What the kubelet sets for the whole machine.
_KERNEL_SETTINGS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
# What the kubelet, the network plugins and the container shims make outside our folder, whatever they are told.
FOLDERS = ("/run/containerd", "/usr/libexec/kubernetes", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers")
_BEFORE = STATE / "before.json"

# Debian package -> a file that it brings.
_PACKAGES = {
    "runc": "runc",
    "iproute2": "ip",
    "nftables": "nft",
    "iptables": "iptables",
    "ipset": "ipset",
    "conntrack": "conntrack",
    "kmod": "modprobe",
    "util-linux": "nsenter",
    "containernetworking-plugins": str(CNI_PROGRAMS / "bridge"),
}


class UnsuitableError(Exception):
    """This machine cannot run the cluster; the message is one sentence that says what is missing."""


def check() -> None:
    """Raises `UnsuitableError` where the cluster cannot run or be ended."""
    if platform.system() != "Linux":
        raise UnsuitableError(f"The one-node cluster needs Linux; this is {platform.system()}.")
    if os.geteuid() != 0:
        raise UnsuitableError(
            "The one-node cluster needs root: it makes network namespaces, mounts and control groups."
        )


def prepare() -> None:
    """Installs Debian packages that are missing; raises `UnsuitableError` where that cannot be done."""
    missing = sorted(package for package, program in _PACKAGES.items() if not _has(program))
    if missing:
        if shutil.which("apt-get") is None:
            raise UnsuitableError(f"Missing and not installable here, for want of apt-get: {', '.join(missing)}.")
        print(f"Installing {', '.join(missing)} ...")
        _apt("update", "-qq")
        _apt("install", "-y", "-qq", "--no-install-recommends", *missing)
    if not Path("/proc/sys/net/bridge").is_dir():
        subprocess.run(["modprobe", "br_netfilter"], check=False, capture_output=True)  # noqa: S607
        if not Path("/proc/sys/net/bridge").is_dir():
            raise UnsuitableError("This kernel has no br_netfilter, without which policies between pods do nothing.")


def _has(program: str) -> bool:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


def _apt(*arguments: str) -> None:
    done = subprocess.run(  # noqa: S603 - the names above
        ["apt-get", *arguments],  # noqa: S607
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise UnsuitableError(f"apt-get {arguments[0]} failed: {' '.join(last)}")


def remember() -> None:
    """Keeps, once, what the cluster is about to change outside its own folder."""
    if not _BEFORE.exists():
        before = {
            "settings": {name: _setting(name).read_text("utf-8") for name in _KERNEL_SETTINGS},
            "absent": [folder for folder in FOLDERS if not Path(folder).exists()],
        }
        _BEFORE.write_text(json.dumps(before), "utf-8")


def restore() -> None:
    """Sets that back. Folders that were there before keep what others have in them."""
    if not _BEFORE.exists():
        return
    before = json.loads(_BEFORE.read_text("utf-8"))
    for name, value in before["settings"].items():
        if _setting(name).read_text("utf-8") != value:
            _setting(name).write_text(value, "utf-8")
    for folder in before["absent"]:
        shutil.rmtree(folder, ignore_errors=True)
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and str(link.readlink()).startswith(f"{STATE}/"):
            link.unlink()


def _setting(name: str) -> Path:
    return Path("/proc/sys") / name
