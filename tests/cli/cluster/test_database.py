"""Where PostgreSQL's programs come from when the lab database is one of the site's own."""

from typing import Any

import pytest

from kirzl_lab.cli.cluster.database import postgres_image


@pytest.mark.parametrize(
    ("images", "image"),
    [
        ({}, "registry.uni.example/lab/postgres:0.1.0"),
        ({"registry": "registry.uni.example/lab/"}, "registry.uni.example/lab/postgres:0.1.0"),
        ({"tag": "7"}, "registry.uni.example/lab/postgres:7"),
        ({"references": {"postgres": "uni.example/postgres:17"}}, "uni.example/postgres:17"),
    ],
)
def test_it_is_the_image_that_the_chart_would_take(images: dict[str, Any], image: str) -> None:
    values = {"registry": "registry.uni.example/lab", "tag": "", "references": {}} | images
    assert postgres_image(values, "registry.uni.example/lab/hub:0.1.0") == image
