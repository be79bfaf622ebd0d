"""What comes back from running a submission is hostile: of its notebooks only the outputs are taken.

A notebook to grade is the prepared one with the outputs of the executed one, cell by cell; whatever else the code
changed in it is refused, and notebooks that were not sent are left out. So locked cells, points and checksums are
those of the gradebook, whatever came back.
"""

import json
from pathlib import Path
from typing import Final

import nbformat
from nbformat import NotebookNode
from nbformat.validator import NotebookValidationError, validate

from kirzl_lab.grading.copying import USUAL, CopyRefusedError, Room, copy_tree
from kirzl_lab.grading.outcomes import MIB
from kirzl_lab.problems import Phrase

NOTEBOOK_SIZE: Final = 80 * MIB
"""In bytes: what it is made of, and its outputs."""

KEPT_METADATA: Final = ("language_info", "widgets")
"""What running a notebook writes into its metadata; it only shows in pages."""


class ReturnRefusedError(Exception):
    """What came back is not what was sent, with outputs. `why` is for people."""

    def __init__(self, why: Phrase) -> None:
        self.why = why
        super().__init__(why.text())


def take(prepared: Path, executed: Path, into: Path, room: Room = USUAL) -> None:
    """Make the folder `into`: the files of `executed`, and the notebooks of `prepared` with the outputs of `executed`.

    Raises `ReturnRefusedError`.
    """
    try:
        copy_tree(executed, into, room)
    except CopyRefusedError as error:
        raise ReturnRefusedError(error.why) from error
    sent = {file.name for file in prepared.glob("*.ipynb")}
    for name in {file.name for file in into.glob("*.ipynb")} - sent:
        if (into / name).is_file():
            (into / name).unlink()
        else:
            raise ReturnRefusedError(Phrase("“%(name)s” is no notebook", {"name": name}))
    for name in sorted(sent):
        notebook = grafted(nbformat.read(prepared / name, as_version=4), _read(into / name), name)
        (into / name).write_text(nbformat.writes(notebook), "utf-8")


def grafted(sent: NotebookNode, back: NotebookNode, name: str) -> NotebookNode:
    """The notebook `sent` with the outputs of `back`; `name` is for the sentence when that is not the same notebook."""
    try:
        cells = list(zip(sent.cells, back.cells, strict=False))
        if len(sent.cells) != len(back.cells) or not all(_same(mine, theirs) for mine, theirs in cells):
            raise ReturnRefusedError(Phrase("the cells of “%(name)s” were changed while it ran", {"name": name}))
        for mine, theirs in cells:
            if mine.cell_type == "code":
                mine.outputs, mine.execution_count = _outputs(theirs), _count(theirs)
        for key in KEPT_METADATA:
            if isinstance(back.metadata.get(key), dict):
                sent.metadata[key] = back.metadata[key]
    except (AttributeError, KeyError, TypeError, ValueError, NotebookValidationError) as error:
        raise _no_notebook(name) from error
    return sent


def _same(mine: NotebookNode, theirs: NotebookNode) -> bool:
    return (mine.cell_type, mine.source, mine.metadata.get("nbgrader")) == (
        theirs.cell_type,
        theirs.source,
        theirs.metadata.get("nbgrader"),
    )


def _outputs(cell: NotebookNode) -> list[NotebookNode]:
    for output in cell.outputs:
        validate(output, ref="output", version=4)
    outputs: list[NotebookNode] = list(cell.outputs)
    return outputs


def _count(cell: NotebookNode) -> int | None:
    count = cell.execution_count
    return count if isinstance(count, int) and not isinstance(count, bool) else None


def _read(file: Path) -> NotebookNode:
    if not file.is_file():
        raise ReturnRefusedError(Phrase("“%(name)s” is missing", {"name": file.name}))
    if file.stat().st_size > NOTEBOOK_SIZE:
        raise ReturnRefusedError(Phrase("“%(name)s” is too large", {"name": file.name}))
    try:
        notebook: NotebookNode = nbformat.reads(file.read_text("utf-8"), as_version=4)
        json.dumps(notebook, ensure_ascii=False).encode()  # lone halves of a character cannot be written again
    except Exception as error:  # hostile: nbformat's converters fail in many ways
        raise _no_notebook(file.name) from error
    return notebook


def _no_notebook(name: str) -> ReturnRefusedError:
    return ReturnRefusedError(Phrase("“%(name)s” is no notebook", {"name": name}))
