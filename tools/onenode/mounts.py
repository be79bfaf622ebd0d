"""The cluster's mounts: all of them are below its folder, whoever made them."""

import re
import subprocess
from pathlib import Path

from tools.onenode.paths import STATE


def of_cluster() -> list[str]:
    """Mount points of the cluster, the innermost first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        # proc_pid_mountinfo(5): field 5 is the mount point; blanks and such are octal there.
        point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), line.split(" ")[4])
        if point.startswith(f"{STATE}/"):
            found.append(point)
    return found[::-1]


def unmount_all() -> None:
    """Unmounts them. Nobody uses them any more; one that is busy for the kernel goes as soon as it is not."""
    for point in of_cluster():
        subprocess.run(["umount", "--lazy", point], check=True, capture_output=True)  # noqa: S603, S607
