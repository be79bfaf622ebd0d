"""What `nvidia-smi -L` prints, and what follows for sizes and servers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.catalog.models import Flavour, Size, Text
from kirzl_lab.spawning import gpu
from kirzl_lab.spawning.gpu import Gpu, Slice

# The two forms that NVIDIA documents (nvidia-smi(1), MIG User Guide "Device names").
TWO_WHOLE = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-e86cb44c-6756-fd30-cd4a-1e6da3caf9b0)
"""
WITH_SLICES = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-e86cb44c-6756-fd30-cd4a-1e6da3caf9b0)
  MIG 3g.20gb     Device  0: (UUID: MIG-c7384736-a75d-5afc-978f-d2f1294409fd)
  MIG 1g.5gb      Device  1: (UUID: MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d)
  MIG 1g.5gb+me   Device  2: (UUID: MIG-78c31ef3-a52f-5d9b-b7c1-9e2d0ad1d01c)
GPU 1: NVIDIA T4 (UUID: GPU-00000000-0000-0000-0000-000000000001)
"""
OLD_DRIVER = """\
GPU 0: A100-SXM4-40GB (UUID: GPU-aaaa)
  MIG 1g.5gb Device 0: (UUID: MIG-GPU-aaaa/7/0)
"""


def flavour(share: str, memory_gib: float = 5) -> Flavour:
    return Flavour.model_validate({"resource": "nvidia.com/gpu", "share": share, "memory_gib": memory_gib, "watts": 70})


FLAVOURS = {"slice": flavour("mig"), "full": flavour("whole", 40), "shared": flavour("shared")}
TEXT = Text(de="x", en="x")


def size(name: str | None) -> Size:
    return Size(title=TEXT, cpus=1, memory_gib=1, gpu=name)


def test_whole_gpus() -> None:
    assert gpu.parse(TWO_WHOLE) == (
        Gpu("NVIDIA H100 80GB HBM3", "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77"),
        Gpu("NVIDIA A100-SXM4-40GB", "GPU-e86cb44c-6756-fd30-cd4a-1e6da3caf9b0"),
    )


def test_slices_belong_to_the_gpu_above_them() -> None:
    first, second = gpu.parse(WITH_SLICES)
    assert [part.profile for part in first.slices] == ["3g.20gb", "1g.5gb", "1g.5gb+me"]
    assert [part.memory_gib for part in first.slices] == [20, 5, 5]
    assert second.slices == ()


def test_slices_of_an_old_driver() -> None:
    assert gpu.parse(OLD_DRIVER)[0].slices == (Slice("1g.5gb", "MIG-GPU-aaaa/7/0"),)


@given(st.text())
def test_other_text_gives_no_gpu(text: str) -> None:
    assert gpu.parse(text.replace("UUID", "")) == ()


@pytest.mark.parametrize(
    ("name", "listing", "reason"),
    [
        (None, "", None),
        (None, TWO_WHOLE, None),
        ("full", "", gpu.NO_GPU),
        ("slice", "", gpu.NO_GPU),
        ("full", TWO_WHOLE, None),
        ("shared", TWO_WHOLE, None),
        ("slice", TWO_WHOLE, gpu.NO_SLICE),
        ("slice", WITH_SLICES, None),
        ("full", WITH_SLICES, None),
        ("full", OLD_DRIVER, gpu.NO_WHOLE),
    ],
)
def test_why_a_size_cannot_be_had(name: str | None, listing: str, reason: str | None) -> None:
    assert gpu.unavailable_reason(size(name), FLAVOURS, gpu.parse(listing)) == reason


def test_a_slice_must_be_large_enough_and_the_smallest_one_is_taken() -> None:
    gpus = gpu.parse(WITH_SLICES)
    assert len(gpu.units(flavour("mig", 5), gpus)) == 3
    assert gpu.units(flavour("mig", 5), gpus)[-1] == "MIG-c7384736-a75d-5afc-978f-d2f1294409fd"
    assert gpu.units(flavour("mig", 19.5), gpus) == ("MIG-c7384736-a75d-5afc-978f-d2f1294409fd",)
    assert gpu.units(flavour("mig", 40), gpus) == ()


def test_a_whole_gpu_is_held_by_one_server_and_a_shared_one_by_the_fewest() -> None:
    gpus = gpu.parse(TWO_WHOLE)
    one, two = (each.uuid for each in gpus)
    assert gpu.free_unit(FLAVOURS["full"], gpus, []) == one
    assert gpu.free_unit(FLAVOURS["full"], gpus, [one]) == two
    assert gpu.free_unit(FLAVOURS["full"], gpus, [one, two]) is None
    assert gpu.free_unit(FLAVOURS["shared"], gpus, [one, two, one]) == two


def test_a_server_without_a_gpu_sees_none() -> None:
    assert gpu.environment(None) == {"CUDA_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "void"}
    assert gpu.environment("GPU-1") == {"CUDA_VISIBLE_DEVICES": "GPU-1", "NVIDIA_VISIBLE_DEVICES": "GPU-1"}


def test_a_driver_tool_that_is_missing_means_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    gpu.detect.cache_clear()
    try:
        assert gpu.detect() == ()
        assert gpu.unavailable_sizes({"a": size(None), "b": size("full")}, FLAVOURS) == {"b": gpu.NO_GPU}
        assert gpu.describe() == ""
    finally:
        gpu.detect.cache_clear()
