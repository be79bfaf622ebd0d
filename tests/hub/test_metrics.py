"""What the hub counts: starts by how they ended, logins, servers that run. Labels stay within their bounds."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub.spawner import SpawnException
from prometheus_client import REGISTRY
from tornado.util import TimeoutError as TornadoTimeoutError
from tornado.web import HTTPError

from kirzl_lab import problems
from kirzl_lab.federation.refusals import Reason as LoginReason
from kirzl_lab.federation.refusals import Refused as LoginRefused
from kirzl_lab.federation.refusals import Unreachable
from kirzl_lab.hub import metrics, starts
from kirzl_lab.hub.metrics import End, Login, Start
from kirzl_lab.hub.pages import Refused, count_refusal
from kirzl_lab.metrics import REFUSALS
from kirzl_lab.problems import Phrase
from kirzl_lab.spawning import endings, last_words, troubles

SIZES = ("cpu-small", "gpu-slice")


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


# -- how a start ended -------------------------------------------------------------------------------------------

ENDED = {
    "ready": (None, (Start.READY, "none")),
    "cancelled": (asyncio.CancelledError(), (Start.CANCELLED, "none")),
    "refused by the last check": (Refused(problems.NotAMember(space="x")), (Start.REFUSED, "not-a-member")),
    "JupyterHub's limit of starts": (HTTPError(429, "Too many"), (Start.REFUSED, "throttled")),
    "a reason that we know": (SpawnException("no", reason="image"), (Start.FAILED, "image")),
    "a reason that we do not know": (SpawnException("no", reason="Student One"), (Start.FAILED, "other")),
    "no answer in time": (TimeoutError(), (Start.FAILED, "timeout")),
    "no answer in Tornado's time": (TornadoTimeoutError(), (Start.FAILED, "timeout")),
    "our mistake": (KeyError("x"), (Start.FAILED, "error")),
    "an HTTP error without a reason": (HTTPError(500), (Start.FAILED, "other")),
}


@pytest.mark.parametrize(("error", "expected"), ENDED.values(), ids=ENDED)
def test_how_a_start_ended(error: BaseException | None, expected: tuple[Start, str]) -> None:
    assert metrics.start_outcome(error) == expected


@pytest.mark.parametrize("reason", troubles.Reason)
def test_every_trouble_of_a_pod_is_a_reason(reason: troubles.Reason) -> None:
    assert metrics.start_outcome(SpawnException("no", reason=reason.value)) == (Start.FAILED, reason)


# -- counting a start that JupyterHub makes ----------------------------------------------------------------------


class JupyterHubs:
    """JupyterHub's part of a handler: a start that ends as the test says, before the answer or after it."""

    def __init__(self, end: BaseException | None = None, *, slow: bool = False, raises: bool = True) -> None:
        self.request = SimpleNamespace(request_time=lambda: 2.0)
        self.spawner = SimpleNamespace(_spawn_future=None, user_options={})
        self.user = SimpleNamespace(spawners={"ml-101": self.spawner})
        self._end, self._slow, self._raises = end, slow, raises

    async def spawn_single_user(self, _user: Any, _server: str, _title: str, _options: dict[str, str]) -> None:
        self.spawner._spawn_future = asyncio.get_running_loop().create_future()
        if not self._slow:
            self.end()
            if self._end is not None and self._raises:
                raise self._end

    def end(self) -> None:
        """The start is over. JupyterHub keeps the future of one that failed."""
        future = self.spawner._spawn_future
        if self._end is None:
            future.set_result(None)
            self.spawner._spawn_future = None
        elif isinstance(self._end, asyncio.CancelledError):
            future.cancel()
        else:
            future.set_exception(self._end)
            future.exception()  # somebody has looked


class Handler(starts.CountedStart, JupyterHubs):
    """As the wiring mixes them."""

    async def click(self, size: object = "cpu-small") -> None:
        await self.spawn_single_user(self.user, "ml-101", "", {"size": size})


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = SimpleNamespace(sizes=dict.fromkeys(SIZES))
    monkeypatch.setattr(starts, "the_lab", lambda: SimpleNamespace(catalogue=catalogue))


def counted(outcome: str, size: str = "cpu-small", reason: str = "none") -> float:
    return sample("kirzl_lab_server_starts_total", outcome=outcome, size=size, reason=reason)


def waits() -> float:
    return sample("kirzl_lab_server_start_seconds_count", size="cpu-small")


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("slow", [False, True])
async def test_a_start_that_works_is_counted_with_its_waiting_time(slow: bool) -> None:
    handler = Handler(slow=slow)
    before, waited = counted("ready"), sample("kirzl_lab_server_start_seconds_sum", size="cpu-small")
    await handler.click()
    if slow:
        assert counted("ready") == before
        handler.end()
        await asyncio.sleep(0)  # callbacks of a future run in the next turn of the loop
    assert counted("ready") == before + 1
    # 2 s had passed since the click when JupyterHub began.
    assert 2 <= sample("kirzl_lab_server_start_seconds_sum", size="cpu-small") - waited < 60


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (SpawnException("no", reason="volume"), "failed", "volume"),
        (asyncio.CancelledError(), "cancelled", "none"),
        (Refused(problems.SpaceNotOpen(space="x", starts="", ends="")), "refused", "space-not-open"),
    ],
)
@pytest.mark.parametrize("slow", [False, True])
async def test_a_start_that_does_not_work_is_counted_once(
    error: BaseException, outcome: str, reason: str, slow: bool
) -> None:
    handler = Handler(error, slow=slow)
    before, waited = counted(outcome, reason=reason), waits()
    if slow:
        await handler.click()
        handler.end()
        await asyncio.sleep(0)
    else:
        with pytest.raises(type(error)):
            await handler.click()
    assert counted(outcome, reason=reason) == before + 1
    assert waits() == waited


@pytest.mark.usefixtures("sizes")
async def test_a_timeout_that_jupyterhub_takes_for_its_own_is_no_success() -> None:
    handler = Handler(TimeoutError(), raises=False)
    before, waited = counted("failed", reason="timeout"), waits()
    await handler.click()
    assert counted("failed", reason="timeout") == before + 1
    assert waits() == waited


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("size", ["student1@uni.example", None, ["cpu-small"], 7])
async def test_what_somebody_typed_is_no_label(size: object) -> None:
    before = counted("ready", "other")
    await Handler().click(size)
    assert counted("ready", "other") == before + 1


# -- ends, logins, refusals, running servers ---------------------------------------------------------------------

ENDS = {
    "stopped": ("kgq5z443p", None, End.ASKED),
    "idle, as the spawner remembers it": (None, Phrase(last_words.IDLE_HOURS, {"hours": 2}), End.IDLE),
    "out of memory": (None, Phrase(endings.OUT_OF_MEMORY), End.MEMORY),
    "drained": (None, Phrase(endings.DRAINED), End.DRAINED),
    "by itself": (None, None, End.ITSELF),
    "with other words": (None, Phrase("Something new."), End.OTHER),
}


@pytest.mark.parametrize(("ended_by", "told", "expected"), ENDS.values(), ids=ENDS)
def test_why_a_server_ended(ended_by: str | None, told: Phrase | None, expected: End) -> None:
    assert metrics.end_reason(ended_by, told) is expected


LOGINS = {
    "our checks": (
        LoginRefused(LoginReason.SIGNATURE),
        problems.TokenRefused(institution="", reason=""),
        Login.REFUSED,
    ),
    "the institution is away": (Unreachable("x"), problems.InstitutionUnreachable(institution=""), Login.UNREACHABLE),
    "sent by anybody": (LoginRefused(LoginReason.NOT_BEGUN), problems.LoginExpired(), Login.STRAY),
    "another browser": (LoginRefused(LoginReason.OTHER_BROWSER), problems.LoginExpired(), Login.EXPIRED),
    "blocked": (None, problems.PersonBlocked(contact=""), Login.BLOCKED),
    "the database is away": (None, problems.LabDatabaseAway(), Login.DATABASE_AWAY),
    "gone back": (None, problems.LoginCancelled(institution=""), Login.CANCELLED),
    "something else": (None, problems.UnknownInstitution(institution=""), Login.OTHER),
}


@pytest.mark.parametrize(("error", "problem", "expected"), LOGINS.values(), ids=LOGINS)
def test_how_a_login_ended(error: Any, problem: problems.Problem, expected: Login) -> None:
    assert metrics.login_outcome(error or problem, problem) is expected


@pytest.mark.parametrize("error", [problems.NotAMember(space="x"), Refused(problems.NotAMember(space="x"))])
def test_refusals_of_pages_and_of_the_api_are_counted_alike(error: Exception) -> None:
    before = sample("kirzl_lab_refusals_total", problem="not-a-member")
    count_refusal(error)
    assert sample("kirzl_lab_refusals_total", problem="not-a-member") == before + 1


def test_other_errors_are_no_refusals() -> None:
    (before,) = REFUSALS.collect()
    count_refusal(HTTPError(500))
    count_refusal(KeyError("x"))
    assert list(REFUSALS.collect()) == [before]


def spawner(size: object, *, ready: bool = True, kind: str | None = "course") -> SimpleNamespace:
    return SimpleNamespace(user_options={"size": size}, ready=ready, kind=kind)


def running(*spawners: SimpleNamespace) -> dict[tuple[str, str], float]:
    app = SimpleNamespace(users={1: SimpleNamespace(spawners=dict(enumerate(spawners)))})
    servers = metrics.RunningServers()
    servers.look_at(app, SIZES)
    (family,) = servers.collect()
    return {(one.labels["size"], one.labels["kind"]): one.value for one in family.samples}


def test_running_servers_are_what_the_hub_has_now() -> None:
    nothing = {(size, "course"): 0 for size in SIZES}
    assert running() == nothing
    assert running(spawner("cpu-small"), spawner("cpu-small"), spawner("gpu-slice", ready=False)) == nothing | {
        ("cpu-small", "course"): 2
    }


def test_a_size_that_is_gone_and_a_kind_that_is_not_known_are_other() -> None:
    found = running(
        spawner("size-of-last-year"), spawner(None, kind=None), SimpleNamespace(user_options=None, ready=True)
    )
    assert found[("other", "course")] == 1
    assert found[("other", "other")] == 2


@pytest.fixture
def prepared() -> Iterator[None]:
    metrics.prepare(["uni-of-this-test"], ["size-of-this-test"])
    yield
    for outcome in Login:
        metrics.LOGINS.remove("uni-of-this-test", outcome)


@pytest.mark.usefixtures("prepared")
def test_what_has_not_happened_yet_is_there_as_0() -> None:
    """Prometheus sees no increase where a series begins with 1."""
    for outcome in Login:
        name = "kirzl_lab_logins_total"
        assert REGISTRY.get_sample_value(name, {"institution": "uni-of-this-test", "outcome": outcome}) == 0
    for reason in metrics.FAILURES:
        labels = {"outcome": "failed", "size": "size-of-this-test", "reason": reason}
        assert REGISTRY.get_sample_value("kirzl_lab_server_starts_total", labels) == 0
