"""Kubernetes on one Linux machine, built from pinned Go modules: for developing and testing, never for people's work."""
