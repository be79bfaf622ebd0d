"""From the plan to archives: build what the cache has not, and keep it under its key."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from images import about, buildah, clients, debian
from images.commands import run, succeeds
from images.keys import debian_key, executable, files_of, key_of
from images.plan import BY_NAME, DEBIAN, PREFIX, REPOSITORY, Choices, Image

KEPT = 2  # archives of each image: the newest, and the one before for going back
NEEDED = {"buildah": "buildah", "debootstrap": "debootstrap"}  # program -> Debian package
A_FIXED_TIME = 946_684_800  # buildah's layer cache looks at times, too: staged files all have this one


class CannotBuildError(Exception):
    """What is missing, in a sentence."""


@dataclass(frozen=True, slots=True)
class Built:
    """An image that is there: what pods name it, and the archive that a node loads."""

    name: str
    key: str
    reference: str
    archive: Path
    bytes: int


def cache_folder() -> Path:
    """Where archives and logs are: `kirzl-lab/images` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "kirzl-lab" / "images"


def reference(name: str, key: str) -> str:
    """What pods call the image."""
    return f"{PREFIX}/{name}:{key}"


def described(image: Image, choices: Choices) -> Built:
    """Where the image is, or will be once it is built; its size is 0 until then."""
    key = key_of(image, choices, REPOSITORY)
    archive = cache_folder() / f"{image.name}-{key}.tar"
    return Built(
        image.name, key, reference(image.name, key), archive, archive.stat().st_size if archive.exists() else 0
    )


def labels(image: Image, key: str) -> dict[str, str]:
    """The image's labels (OCI annotations); `revision` is the key of its sources, not a commit: other commits can have the same."""
    return {
        f"{about.PREFIX}title": f"kirzl-lab {image.name}",
        f"{about.PREFIX}description": image.title,
        f"{about.PREFIX}revision": key,
        **about.about(),
    }


class Builder:
    """Builds under one lock, so that two runs at once build nothing twice."""

    def __init__(self, choices: Choices, uv: Path) -> None:
        self._choices = choices
        self._uv = uv
        self._cache = cache_folder()
        self._stack = ExitStack()
        self._clients: Path | None = None

    def __enter__(self) -> "Builder":
        """Wait for another run to end, and remove what one that was killed left behind."""
        (self._cache / "logs").mkdir(parents=True, exist_ok=True)
        lock = self._stack.enter_context((self._cache / "lock").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        for partial in self._cache.glob(".partial-*"):
            partial.unlink()
        return self

    def __exit__(self, *_: object) -> None:
        """Let the next one in; remove the clients' settings."""
        self._stack.close()

    def build(self, image: Image) -> Built:
        """The image, built when its archive is not there; raises `BuildFailedError`, or `CannotBuildError` when its files change meanwhile."""
        built = described(image, self._choices)
        if not built.archive.exists():
            with self._log(image.name) as log:
                self._build(image, built, log)
                self._save(built, log)
            self._remove_old(image.name, built.archive)
        return replace(built, bytes=built.archive.stat().st_size)

    def push(self, built: Built, registry: str) -> list[str]:
        """Push it to `registry` under its key and the lab's version; returns both names."""
        targets = [f"{registry.rstrip('/')}/{built.name}:{tag}" for tag in (built.key, about.version())]
        with self._log(f"push-{built.name}") as log:
            if not buildah.has(built.reference):
                buildah.restore(built.reference, built.archive, log)
            for target in targets:
                buildah.push_to(built.reference, target, log)
        return targets

    def _build(self, image: Image, built: Built, log: TextIO) -> None:
        base = self._parent(image, log)
        with tempfile.TemporaryDirectory(prefix="kirzl-image-") as folder:
            context = Path(folder) / "context"
            stage(image, REPOSITORY, context)
            if key_of(image, self._choices, REPOSITORY) != built.key:
                raise CannotBuildError(f"A file of {image.name} was changed just now: run it again.")
            command = buildah.build_arguments(
                tag=built.reference,
                base=base,
                arguments=self._choices.arguments_of(image),
                labels=labels(image, built.key),
                clients=self._for_clients(),
                cache=self._client_cache(),
                context=context,
            )
            run(command, log)

    def _parent(self, image: Image, log: TextIO) -> str:
        """The parent's name in buildah's store, brought there when it is not."""
        if image.parent != DEBIAN:
            parent = described(BY_NAME[image.parent], self._choices)
            if not buildah.has(parent.reference):
                if not parent.archive.exists():
                    self.build(BY_NAME[image.parent])
                else:
                    buildah.restore(parent.reference, parent.archive, log)
            return parent.reference
        if self._choices.base:
            run(["buildah", "pull", "--quiet", self._choices.base], log)
            return self._choices.base
        tag = reference(DEBIAN, debian_key(REPOSITORY))
        if not buildah.has(tag):
            with tempfile.TemporaryDirectory(prefix="kirzl-debian-") as folder:
                debian.bootstrap(Path(folder) / "root", clients.mirror(clients.debian_sources()), log)
                buildah.commit_folder(Path(folder) / "root", tag, log)
        return tag

    def _save(self, built: Built, log: TextIO) -> None:
        partial = built.archive.with_name(f".partial-{built.archive.name}")
        buildah.save(built.reference, partial, log)
        partial.rename(built.archive)

    def _remove_old(self, name: str, newest: Path) -> None:
        length = len(newest.name)  # `notebook-*` would match the archives of `notebook-gpu`, too
        archives = [path for path in self._cache.glob(f"{name}-*.tar") if len(path.name) == length]
        for old in sorted(archives, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
            old.unlink()
            succeeds(
                "buildah", "rmi", reference(name, old.stem.removeprefix(f"{name}-"))
            )  # its layers, where no other needs them

    def _for_clients(self) -> Path:
        if self._clients is None:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="kirzl-clients-")))
            clients.prepare(folder / "clients", self._uv, REPOSITORY)
            self._clients = folder / "clients"
        return self._clients

    def _client_cache(self) -> Path:
        """What uv and npm downloaded for other builds; it is mounted, not copied."""
        folder = self._cache.parent / "packages"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def _log(self, name: str) -> Iterator[TextIO]:
        path = self._cache / "logs" / f"{name}.log"
        with path.open("w", encoding="utf-8") as log:
            try:
                yield log
            except subprocess.CalledProcessError as error:
                log.flush()
                raise BuildFailedError(name, path) from error


class BuildFailedError(Exception):
    """A build ended with an error. The message has the end of its log and says where the rest is."""

    def __init__(self, name: str, log: Path) -> None:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        super().__init__(f"{tail}\n{name} was not built. All of it: {log}")


def stage(image: Image, repository: Path, context: Path) -> None:
    """Lay out in `context` exactly the files that the image's key was made from."""
    for name, source in files_of(image, repository):
        own = name == f"images/{image.name}/Containerfile"
        target = context / ("Containerfile" if own else name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if executable(source) else 0o644)
    for path in (context, *context.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (A_FIXED_TIME, A_FIXED_TIME))


def ensure_programs(say: Callable[[str], None]) -> None:
    """Install missing Debian packages as root; raises `CannotBuildError` with what is missing elsewhere."""
    missing = [package for program, package in NEEDED.items() if shutil.which(program) is None]
    if missing and (os.geteuid() != 0 or shutil.which("apt-get") is None):
        raise CannotBuildError(
            f"Images need root on Debian 12, and {' and '.join(missing)}: apt-get install {' '.join(missing)}"
        )
    if os.geteuid() != 0:
        raise CannotBuildError("Images are built as root: run it again with sudo.")
    if missing:
        say(f"Installing for the images: {' '.join(missing)}")
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *missing]):
            if not succeeds("apt-get", *words):
                raise CannotBuildError(f"apt-get {words[0]} failed: install {' '.join(missing)} by hand.")
