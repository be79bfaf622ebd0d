"""A state is good for one answer, from one institution, in one browser."""

from datetime import timedelta

import pytest

from kirzl_lab.federation.logins import LIFETIME, MOST_PER_BROWSER, LoginAttempts, new_browser_secret
from kirzl_lab.federation.refusals import Reason, Refused
from tests.federation.conftest import Clock


@pytest.fixture
def attempts(clock: Clock) -> LoginAttempts:
    return LoginAttempts(clock)


def refused(attempts: LoginAttempts, state: str, institution: str = "uni", browser: str | None = "b") -> Reason:
    with pytest.raises(Refused) as refusal:
        attempts.take(state, institution, browser)
    return refusal.value.reason


def test_a_state_is_taken_once(attempts: LoginAttempts) -> None:
    attempt = attempts.begin("uni", "b", "/hub/home")
    assert attempts.take(attempt.state, "uni", "b") == attempt
    assert refused(attempts, attempt.state) is Reason.NOT_BEGUN
    assert len(attempts) == 0


def test_a_state_that_nobody_gave(attempts: LoginAttempts) -> None:
    assert refused(attempts, "") is Reason.NOT_BEGUN
    assert refused(attempts, "x" * 10_000) is Reason.NOT_BEGUN


def test_a_state_of_another_institution_is_refused_and_used_up(attempts: LoginAttempts) -> None:
    attempt = attempts.begin("uni", "b", None)
    assert refused(attempts, attempt.state, "uas") is Reason.OTHER_INSTITUTION
    assert refused(attempts, attempt.state, "uni") is Reason.NOT_BEGUN


@pytest.mark.parametrize("browser", [None, "", "c"])
def test_a_state_of_another_browser_is_refused_and_used_up(attempts: LoginAttempts, browser: str | None) -> None:
    attempt = attempts.begin("uni", "b", None)
    assert refused(attempts, attempt.state, browser=browser) is Reason.OTHER_BROWSER
    assert refused(attempts, attempt.state) is Reason.NOT_BEGUN


def test_a_login_may_take_ten_minutes(attempts: LoginAttempts, clock: Clock) -> None:
    slow, too_slow = attempts.begin("uni", "b", None), attempts.begin("uni", "b", None)
    clock.now += LIFETIME
    attempts.take(slow.state, "uni", "b")
    clock.now += timedelta(seconds=1)
    assert refused(attempts, too_slow.state) is Reason.NOT_BEGUN


def test_old_logins_are_forgotten(attempts: LoginAttempts, clock: Clock) -> None:
    for _ in range(5):
        attempts.begin("uni", new_browser_secret(), None)
    clock.now += LIFETIME + timedelta(seconds=1)
    attempts.begin("uni", "b", None)
    assert len(attempts) == 1


def test_several_tabs_of_one_browser(attempts: LoginAttempts) -> None:
    begun = [attempts.begin("uni", "b", f"/hub/{number}") for number in range(MOST_PER_BROWSER)]
    for number, attempt in reversed(list(enumerate(begun))):
        assert attempts.take(attempt.state, "uni", "b").next_url == f"/hub/{number}"


def test_one_browser_cannot_fill_the_memory(attempts: LoginAttempts) -> None:
    first = attempts.begin("uni", "b", None)
    other = attempts.begin("uni", "c", None)
    for _ in range(MOST_PER_BROWSER):
        attempts.begin("uni", "b", None)
    assert len(attempts) == MOST_PER_BROWSER + 1
    assert refused(attempts, first.state) is Reason.NOT_BEGUN
    assert attempts.take(other.state, "uni", "c") == other


def test_the_memory_is_bounded_and_the_oldest_goes_first(clock: Clock) -> None:
    attempts = LoginAttempts(clock, most=3)
    begun = [attempts.begin("uni", f"b{number}", None) for number in range(4)]
    assert len(attempts) == 3
    assert refused(attempts, begun[0].state, browser="b0") is Reason.NOT_BEGUN
    attempts.take(begun[1].state, "uni", "b1")


def test_every_login_has_secrets_of_its_own(attempts: LoginAttempts) -> None:
    begun = [attempts.begin("uni", "b", None) for _ in range(10)]
    secrets = [secret for attempt in begun for secret in (attempt.state, attempt.nonce, attempt.verifier)]
    assert len(set(secrets)) == 30
    assert all(len(secret) == 43 for secret in secrets)
    assert not any(secret in repr(begun) for secret in secrets)


def test_the_challenge_is_that_of_the_standard(attempts: LoginAttempts) -> None:
    from dataclasses import replace

    attempt = replace(attempts.begin("uni", "b", None), verifier="dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert attempt.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636, appendix B
