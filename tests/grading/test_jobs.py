"""From a task to the Job that runs it, and what its pod says of its end."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.grading import jobs
from kirzl_lab.grading.jobs import Ended, GraderSite, Tokens
from kirzl_lab.grading.outcomes import EXIT_STATUS, MIB, Limits, Reason
from kirzl_lab.grading.tasks import State, Task

GOLDEN = Path(__file__).with_name("golden-job.json")
SITE = GraderSite(
    namespace="kirzl-lab-graders",
    release="lab",
    image="registry.example/lab/grader:1",
    image_pull_policy="IfNotPresent",
    image_pull_secrets=("registry-login",),
    limits=Limits(total_s=600, memory_bytes=2048 * MIB),
    cpus=1,
)
TASK = Task(
    id=17,
    run_id=3,
    attempt=2,
    losses=0,
    state=State.PREPARED,
    course="ml-101",
    assignment="sheet1",
    student="student1",
    submission_id=9,
    submitted_at=datetime(2026, 11, 1, tzinfo=UTC),
    submission_sha256="a" * 64,
    source_sha256=None,
    late_penalty="none",
    prepared_sha256="b" * 64,
    executed_sha256=None,
    graded_sha256=None,
    changed_at=datetime(2026, 11, 1, tzinfo=UTC),
    reason=None,
    log="",
    result=None,
)
TOKENS = Tokens(fetch="token-to-fetch", report="token-to-report")
ENDPOINT = "http://10.0.0.7:8090/api/tasks"


def made(task: Task = TASK) -> dict[str, Any]:
    return jobs.job(task, SITE, TOKENS, ENDPOINT)


def test_the_job_is_as_it_was() -> None:
    text = json.dumps(made(), indent=2, sort_keys=True) + "\n"
    assert text == GOLDEN.read_text(encoding="utf-8"), f"if this is meant: python -m {__name__}"


def test_student_code_runs_without_a_token() -> None:
    spec = made()["spec"]["template"]["spec"]
    fetch, execute = spec["initContainers"]
    (report,) = spec["containers"]
    assert [fetch["name"], execute["name"], report["name"]] == ["fetch", "execute", "report"]
    assert "token-to-fetch" in json.dumps(fetch)
    assert "token-to-report" in json.dumps(report)
    assert "token" not in json.dumps(execute)
    assert ENDPOINT not in json.dumps(execute)
    assert not {"fetch", "report"} & set(json.dumps(execute["command"]).split('"'))
    for container in (fetch, execute, report):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])
    assert spec["automountServiceAccountToken"] is False
    assert spec["dnsPolicy"] == "None"


@given(st.integers(1, 2**31 - 1), st.integers(1, 10**6))
def test_every_attempt_has_a_name_of_its_own_and_every_task_a_user(number: int, attempt: int) -> None:
    task = replace(TASK, id=number, attempt=attempt)
    assert jobs.job_name(task) != jobs.job_name(replace(task, attempt=attempt + 1))
    assert len(jobs.job_name(task)) <= 63 - len("-abcde")
    user = made(task)["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    assert jobs.FIRST_USER <= user < jobs.FIRST_USER + jobs.USERS
    assert user != made(replace(task, id=number + 1))["spec"]["template"]["spec"]["securityContext"]["runAsUser"]


def pod(**status: Any) -> dict[str, Any]:
    return {"status": status}


def container(name: str, **state: Any) -> dict[str, Any]:
    return {"name": name, "state": state}


@pytest.mark.parametrize(
    ("seen", "ended"),
    [
        (pod(phase="Pending"), None),
        (pod(phase="Running", initContainerStatuses=[container("execute", running={})]), None),
        (pod(phase="Pending", initContainerStatuses=[container("fetch", waiting={"reason": "PodInitializing"})]), None),
        (
            pod(initContainerStatuses=[container("execute", terminated={"exitCode": 137, "reason": "OOMKilled"})]),
            Ended(Reason.MEMORY, "execute: OOMKilled"),
        ),
        (
            pod(initContainerStatuses=[container("execute", terminated={"exitCode": 137, "message": "gone"})]),
            Ended(Reason.KILLED, "execute: gone"),
        ),
        (
            pod(initContainerStatuses=[container("fetch", terminated={"exitCode": 1, "message": "no answer"})]),
            Ended(None, "fetch: no answer"),
        ),
        (
            pod(containerStatuses=[container("report", terminated={"exitCode": 1, "message": "no answer"})]),
            Ended(None, "report: no answer"),
        ),
        (
            pod(initContainerStatuses=[container("fetch", waiting={"reason": "ErrImagePull", "message": "none"})]),
            Ended(Reason.FAILED, "fetch: ErrImagePull: none"),
        ),
        (
            pod(phase="Failed", reason="Evicted", message='Usage of EmptyDir volume "work" exceeds'),
            Ended(Reason.OUTPUT, 'Usage of EmptyDir volume "work" exceeds'),
        ),
        (
            pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
            Ended(None, "Evicted The node was low on resource: memory."),
        ),
        (
            pod(
                phase="Failed",
                reason="DeadlineExceeded",
                message="too long",
                initContainerStatuses=[container("execute", terminated={"exitCode": 137})],
            ),
            Ended(Reason.TIME, "too long"),
        ),
        (
            pod(
                phase="Failed",
                reason="DeadlineExceeded",
                message="too long",
                initContainerStatuses=[container("fetch", running={}), container("execute", waiting={})],
            ),
            Ended(None, "too long"),
        ),
        (
            pod(containerStatuses=[container("report", terminated={"exitCode": 83, "message": "odd name"})]),
            Ended(Reason.OUTPUT, "report: odd name"),
        ),
        (pod(phase="Failed", reason="NodeLost", message="away"), Ended(None, "NodeLost away")),
        (pod(containerStatuses=[container("report", terminated={"exitCode": 0})]), None),
        (
            {
                "metadata": {"deletionTimestamp": "2026-11-24T08:30:00Z"},
                "status": {"initContainerStatuses": [container("execute", terminated={"exitCode": 137})]},
            },
            Ended(None, "its pod was taken away"),
        ),
    ],
)
def test_what_a_pod_says_of_its_end(seen: dict[str, Any], ended: Ended | None) -> None:
    assert jobs.look_at(seen) == ended


@pytest.mark.parametrize("reason", list(EXIT_STATUS))
def test_the_executor_says_why(reason: Reason) -> None:
    seen = pod(initContainerStatuses=[container("execute", terminated={"exitCode": EXIT_STATUS[reason]})])
    ended = jobs.look_at(seen)
    assert ended is not None
    assert ended.reason is reason


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(made(), indent=2, sort_keys=True) + "\n", encoding="utf-8")
