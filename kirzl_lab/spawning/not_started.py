"""A start that failed, said in words that JupyterHub passes on as they are."""

from jupyterhub.spawner import SpawnException


class NotStartedError(SpawnException):
    """JupyterHub does not count it as a failure of its own, and `reason` becomes a label of its metrics."""

    def __init__(self, words: str, *, reason: str, status: int) -> None:
        super().__init__(words, reason=reason, status_code=status)
        # What the page of a start is told; without it that is a line for a log.
        self.jupyterhub_message = words
