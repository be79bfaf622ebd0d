"""The lab's container images: what each is made of, and a builder that makes only what has changed.

`python -m images` builds them with Debian's debootstrap and buildah and keeps them as archives in the user's cache folder.
An image is known by a key over everything that goes into it, so the same inputs are never built twice.
"""
