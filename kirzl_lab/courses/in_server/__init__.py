"""Teaching as people's own servers see it: nbgrader's exchange over the lab service, its front ends, the course folder.

It is copied into the notebook image file by file, so it imports the standard library, httpx, what Jupyter and nbgrader
bring, and `kirzl_lab.store.archives` alone. nbgrader and httpx are imported when somebody asks for something of them:
a server starts as fast with all this as without.
"""
