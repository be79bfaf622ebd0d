"""What a person sees while something on a cluster takes its time: one line for each part that is done, and what is awaited."""

import time
from types import TracebackType

from rich.markup import escape
from rich.status import Status

from kirzl_lab.cli.cluster.states import Part
from kirzl_lab.cli.show import out


class Progress:
    """Lines on the terminal; nothing when JSON was asked for."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self._begun = time.monotonic()
        self._told: set[str] = set()
        self._complained: set[tuple[str, str]] = set()
        self._status: Status | None = None

    def __enter__(self) -> "Progress":
        """Show that something happens."""
        if not self.quiet and out.is_terminal:
            self._status = out.status("Working …")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the sign that something happens away."""
        if self._status:
            self._status.stop()

    def say(self, line: str) -> None:
        """One line, plain."""
        if not self.quiet:
            out.print(escape(line))

    def done(self, what: str) -> None:
        """One thing more is done."""
        if not self.quiet:
            out.print(f"[green]✓[/] {escape(what)} [dim]{time.monotonic() - self._begun:.1f} s[/]")

    def now(self, what: str) -> None:
        """What is being done."""
        if self._status:
            self._status.update(f"{escape(what)} …")

    def hear(self, parts: list[Part]) -> None:
        """How far the parts are: those that became ready are told once, and each trouble once."""
        for part in parts:
            if part.ready and part.name not in self._told:
                self._told.add(part.name)
                self.done(part.title)
            elif not part.ready:
                self._told.discard(part.name)
                if ":" in part.doing and (part.name, part.doing) not in self._complained:
                    self._complained.add((part.name, part.doing))
                    self.say(f"  {part.title}: {part.doing}")
        waiting = [f"{part.title} ({part.doing})" if part.doing else part.title for part in parts if not part.ready]
        if waiting:
            self.now(f"Waiting for {', '.join(waiting)}")
