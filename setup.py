"""Adds one step to the build: a compressed copy beside each file that pages load.

All else about the package is in setup.cfg.
"""

import gzip
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# The smallest file that chatstore compresses (chatstore/web/static_files.py).
SMALLEST = 256


class BuildWithCompressedFiles(build_py):
    """Builds the package and compresses what is in `static/`."""

    def run(self) -> None:
        """Build; an editable install gets no copies, and needs none."""
        super().run()
        if self.editable_mode:
            return
        for path in Path(self.build_lib, "chatstore", "static").rglob("*"):
            if path.is_file() and path.suffix != ".gz":
                content = path.read_bytes()
                if len(content) >= SMALLEST:
                    packed = gzip.compress(content, compresslevel=9, mtime=0)
                    Path(f"{path}.gz").write_bytes(packed)


setup(cmdclass={"build_py": BuildWithCompressedFiles})
