"""200 logins in a burst on loopback: errors, how long a login takes, and the longest block of the hub's event loop.

Every login is a browser of its own: login page of the hub, demo institution's form, callback, My spaces. The longest
block is what the hub itself measured and told in its log. It tells no block that is shorter than its threshold: when it
told none, `longest_block_s` is that threshold and `longest_block_is_below` is true. The last line is one JSON object, in
seconds.
"""

import argparse
import asyncio
import json
import re
import tempfile
import time
from pathlib import Path
from urllib.parse import urljoin

import httpx

from bench._figures import spread
from kirzl_lab.cli.ports import free_port
from kirzl_lab.hub.wiring import BLOCK_TOLD_S
from tests.support.people import login_form
from tests.support.running_lab import lab

ACCOUNTS = ("student1", "student2", "student3", "student4", "student5", "assistant", "lecturer", "operator")
BLOCKED = re.compile(r"Event loop was unresponsive for at least (\d+\.\d+)s")


async def login(lab_url: str, account: str) -> float:
    """One login, in seconds; raises when it does not end on My spaces."""
    async with httpx.AsyncClient(follow_redirects=True, timeout=120) as http:
        begun = time.perf_counter()
        page = await http.get(f"{lab_url}/hub/login/uni")
        form = login_form(page.raise_for_status().text, account)
        landed = await http.post(urljoin(str(page.url), form.action), data=form.fields)
        landed.raise_for_status()
        if landed.url.path != "/hub/home":
            raise AssertionError(f"landed on {landed.url.path}")
        return time.perf_counter() - begun


async def burst(lab_url: str, logins: int) -> tuple[list[float], list[BaseException]]:
    """All logins at once: the times of those that worked, and what went wrong with the others."""
    results = await asyncio.gather(
        *(login(lab_url, ACCOUNTS[number % len(ACCOUNTS)]) for number in range(logins)), return_exceptions=True
    )
    times = [result for result in results if isinstance(result, float)]
    return times, [result for result in results if isinstance(result, BaseException)]


def longest_block(data: Path, before: int) -> float | None:
    """The longest block that the hub told since `before` bytes of its log, in seconds; None when it told none."""
    log = (data / "logs" / "hub.log").read_bytes()[before:].decode(errors="replace")
    return max((float(seconds) for seconds in BLOCKED.findall(log)), default=None)


def main() -> None:
    """Run it and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logins", type=int, default=200)
    logins = parser.parse_args().logins
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        with lab(data, "--demo", "--port", str(free_port())) as running:
            before = (data / "logs" / "hub.log").stat().st_size
            times, errors = asyncio.run(burst(running.url, logins))
            block = longest_block(data, before)
    for error in errors[:5]:
        print("error:", repr(error))
    told = BLOCK_TOLD_S if block is None else block
    figures = {"longest_block_s": told, "longest_block_is_below": block is None}
    print(json.dumps({"logins": logins, "errors": len(errors), **spread(times), **figures}))


if __name__ == "__main__":
    main()
