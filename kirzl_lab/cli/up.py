"""`kirzl-lab up` as people see it: progress, the address, the demo accounts, the browser."""

import webbrowser
from pathlib import Path
from typing import Any

from rich.status import Status

from kirzl_lab.cli.background import start_in_background
from kirzl_lab.cli.inner import tail
from kirzl_lab.cli.lab import DEMO_ACCOUNTS, NOBODY, Options
from kirzl_lab.cli.show import as_json, can_open_browser, out
from kirzl_lab.cli.state import Folder
from kirzl_lab.cli.supervisor import up

DOING = {
    "prepare": "catalogue and database",
    "proxy": "proxy",
    "hub": "hub",
    "service": "lab service",
    "demo": "demo institutions",
}


def run_up(options: Options, *, detach: bool, browser: bool, json_wanted: bool) -> None:
    """Start a lab, and stay with it unless `detach`. Raises `Stop`."""
    with Progress(detach=detach, browser=browser, json_wanted=json_wanted) as progress:
        if detach:
            start_in_background(options, progress.hear)
        else:
            up(options, progress.hear)
    if not detach and not json_wanted:
        out.print("The lab has ended.")


class Progress:
    """Tells what happens while a lab starts and runs."""

    def __init__(self, *, detach: bool, browser: bool, json_wanted: bool) -> None:
        self.detach = detach
        self.browser = browser
        self.json_wanted = json_wanted
        self.waiting: list[str] = []
        self.status: Status | None = None

    def __enter__(self) -> "Progress":
        """Show that something happens."""
        if not self.json_wanted and out.is_terminal:
            self.status = out.status("Starting …")
            self.status.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the sign that something happens away."""
        self._quiet()

    def hear(self, event: dict[str, Any]) -> None:
        """One event of the supervisor."""
        match event["event"]:
            case "port":
                self._say(f"{event['asked']} is busy: took {event['taken']}")
            case "started":
                self.waiting.append(DOING.get(event["part"], event["part"]))
            case "ready":
                name = DOING.get(event["part"], event["part"])
                self.waiting.remove(name)
                self._say(f"[green]✓[/] {name} [dim]{event['seconds']:.1f} s[/]")
            case "running":
                self._quiet()
                self._running(event["note"])
                return
            case "ending":
                self._quiet()
                self._say("Ending the lab: servers first, then the rest. Ctrl-C again does it at once.")
        if self.status is not None:
            self.status.update(f"Starting: {', '.join(self.waiting)} …")

    def _running(self, note: dict[str, Any]) -> None:
        if self.json_wanted:
            as_json({key: note[key] for key in ("url", "data", "demo", "mode", "ports", "pids")})
        else:
            out.print(f"\nThe lab runs at [bold cyan underline]{note['url']}[/]\n")
            if note["demo"]:
                tell_accounts()
            elif _nobody_can_log_in(Folder(Path(note["data"]))):
                out.print(f"[bold yellow]{NOBODY}[/]\n")
            if self.detach:
                out.print("It goes on in the background: `kirzl-lab status` looks at it, `kirzl-lab down` ends it.")
            else:
                out.print("Ctrl-C ends it.")
        if self.browser and can_open_browser():
            webbrowser.open(note["url"])

    def _say(self, line: str) -> None:
        if not self.json_wanted:
            out.print(line)

    def _quiet(self) -> None:
        if self.status is not None:
            self.status.stop()
            self.status = None


def _nobody_can_log_in(folder: Folder) -> bool:
    """Whether the preparation, which has read the catalogue, said so."""
    return NOBODY in tail(folder.logs / "prepare.log")


def tell_accounts() -> None:
    """The accounts of the demo institutions."""
    out.print("Demo accounts (the password is the same word):")
    for institution, accounts in DEMO_ACCOUNTS.items():
        out.print(f"  [bold]{institution}[/]: {', '.join(accounts)}")
    out.print()
