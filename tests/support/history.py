"""Code of earlier commits, from the history of git."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from shutil import which

from tests.support.environment import ROOT, need


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True)
    return done.stdout if done.returncode == 0 else b""


def extract_before(revision: str, folder: Path, *paths: str) -> None:
    """Extract these files of the last commit without the migration `revision`.

    All files without `paths`. Skips the test if git lacks the history.
    """
    need("git", which("git") is not None)
    steps = f"migrations/versions/{revision}*"
    added = _git("log", "--diff-filter=A", "--format=%H", "--", steps).split()
    need("the history of git", bool(added))
    archived = _git("archive", f"{added[-1].decode()}^", *paths)
    with tarfile.open(fileobj=BytesIO(archived)) as archive:
        archive.extractall(folder, filter="data")
