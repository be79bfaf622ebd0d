"""KIRZL Lab: the JupyterHub of a regional AI data centre."""

__version__ = "0.1.0"
