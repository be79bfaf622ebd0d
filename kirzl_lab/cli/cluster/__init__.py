"""What `kirzl-lab` does to a lab on a cluster: install it, fill a course's materials, back it up and restore it."""
