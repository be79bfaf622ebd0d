"""Into the cluster of this machine: what `tools/onenode` runs, when it runs."""

from images.build import Built


def load(built: Built) -> str:
    """Bring the archive into the cluster unless it is there; returns what was done, in a few words."""
    from tools.onenode import cluster, images  # noqa: PLC0415 - building images needs nothing of it

    if not (cluster.is_there() and cluster.loads_images()):
        return "not loaded, no cluster is up"
    if built.reference in images.present():
        return "the cluster has it"
    images.load(built.archive)
    return "loaded"
