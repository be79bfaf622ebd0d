"""The notebooks of the sample courses: clean in the repository, and running from top to bottom."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

COURSES = Path(__file__).resolve().parents[2] / "courses"
NOTEBOOKS = sorted(COURSES.glob("*/materials/*.ipynb"))
ABSOLUTE_PATH = re.compile(r"""["'(](?:/(?:home|root|work|tmp|mnt|Users|opt|srv|var)/|~/|[A-Z]:\\\\)""")


def name_of(notebook: Path) -> str:
    return str(notebook.relative_to(COURSES))


each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)


@pytest.mark.parametrize("course", ["ml-101", "dl-201"])
def test_each_course_has_three_and_its_index_names_them(course: str) -> None:
    materials = COURSES / course / "materials"
    notebooks = [path.name for path in sorted(materials.glob("*.ipynb"))]
    assert len(notebooks) == 3
    linked = re.findall(r"\]\(([^)]+\.ipynb)\)", (materials / "README.md").read_text("utf-8"))
    assert linked == notebooks


@each_notebook
def test_is_clean(path: Path) -> None:
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5), "cells have ids"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info == {"name": "python"}, "no version of whoever saved it last"
    for cell in notebook.cells:
        assert cell.metadata == {}
        assert not ABSOLUTE_PATH.search(cell.source)
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@each_notebook
def test_links_between_notebooks_lead_somewhere(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for link in re.findall(r"\]\(([^)]+\.ipynb)\)", text):
        assert (path.parent / link).is_file()


@pytest.mark.slow
@each_notebook
def test_runs_from_top_to_bottom(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    notebook = nbformat.read(path, as_version=4)
    work = tmp_path / "work"
    work.mkdir()
    client = NotebookClient(
        notebook, timeout=120, startup_timeout=60, kernel_name="python3", resources={"metadata": {"path": str(work)}}
    )
    client.execute()

    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    complaints = [output.text for output in outputs if output.get("name") == "stderr"]
    assert [text for text in complaints if "IPKernelApp" not in text] == [], "no warnings before students"
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 4
    assert list(work.iterdir()) == [], "a notebook leaves no files behind"
