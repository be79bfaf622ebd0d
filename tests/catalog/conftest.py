"""A small site that has no mistakes, to make some in."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from kirzl_lab.catalog.loader import load
from kirzl_lab.catalog.mistakes import CatalogueMistakes, Mistake
from kirzl_lab.catalog.models import Catalogue

REPOSITORY = Path(__file__).parents[2]

LAB = """\
title: {de: Labor, en: Lab}
contact: help@uni.example
operators:
  - institution: uni
    claim: email
    value: operator@uni.example
"""
SIZES = """\
flavours:
  whole:
    resource: nvidia.com/gpu
    share: whole
    memory_gib: 80
    watts: 700
sizes:
  small:
    title: {de: Klein, en: Small}
    cpus: 1
    memory_gib: 2
  large:
    title:
      de: Groß
      en: Large
    cpus: 8
    memory_gib: 64.5
    gpu: whole
"""
INSTITUTIONS = """\
institutions:
  uni:
    title: {de: Universität, en: University}
    issuer: https://login.uni.example
    client_id: kirzl-lab
    domains: [uni.example, stud.uni.example]
    claims: [email, matriculation_number, eduperson_principal_name]
  firm:
    title: {de: Firma, en: Company}
    client_id: kirzl-lab
    domains: [firm.example]
    demo: true
"""
COURSE = """\
title:
  de: Kurs
  en: Course
term: 2026/27 winter
timezone: Europe/Berlin
starts: 2026-10-01
ends: 2027-03-31
sizes: [small, large]
default_size: small
storage_gib: 5
"""
ROSTER = """\
institution,claim,value,role,section
uni,email,lecturer@uni.example,instructor,
uni,matriculation_number,1000001,student,Mon 10:00
firm,email,founder@firm.example,assistant,
"""


@dataclass(frozen=True)
class Site:
    """The two folders of a site, and shortcuts to read and change them."""

    root: Path

    @property
    def hub_config(self) -> Path:
        return self.root / "hub_config"

    @property
    def courses(self) -> Path:
        return self.root / "courses"

    @property
    def course(self) -> Path:
        return self.courses / "ml-101"

    def load(self) -> Catalogue:
        return load(self.hub_config, self.courses)

    def mistakes(self) -> tuple[Mistake, ...]:
        """What is wrong with it; nothing when it loads."""
        try:
            self.load()
        except CatalogueMistakes as error:
            assert error.mistakes
            return error.mistakes
        return ()

    def told(self) -> list[str]:
        """The mistakes as people read them, with paths from the site's root."""
        return [str(mistake).replace(f"{self.root}/", "") for mistake in self.mistakes()]

    def change(self, name: str, old: str, new: str) -> None:
        """Write `new` in place of the one `old` of a file."""
        path = self.path(name)
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, (name, old)
        path.write_text(text.replace(old, new), encoding="utf-8")

    def path(self, name: str) -> Path:
        return (self.course if name in ("course.yaml", "roster.csv") else self.hub_config) / name


def make_site(root: Path) -> Site:
    site = Site(root)
    site.hub_config.mkdir()
    site.course.mkdir(parents=True)
    texts = {
        "lab.yaml": LAB,
        "sizes.yaml": SIZES,
        "institutions.yaml": INSTITUTIONS,
        "course.yaml": COURSE,
        "roster.csv": ROSTER,
    }
    for name, text in texts.items():
        site.path(name).write_text(text, encoding="utf-8")
    return site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)
