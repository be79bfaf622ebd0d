"""The `kirzl-lab` command, and the supervisor of a laptop's lab."""
