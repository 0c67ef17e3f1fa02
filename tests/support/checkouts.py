"""Fresh copies of the project, and the package index that they need."""

import shutil
import subprocess
import sys
from functools import cache
from tempfile import TemporaryDirectory

from tests.support.environment import ROOT, clean_environ, need


def run(*command, folder, check=True):
    done = subprocess.run(
        ["env", "-u", "PYTHONPATH", *map(str, command)],
        cwd=folder,
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done


def copy_checkout(folder):
    """Copy the files that git tracks or would track, as a fresh clone has them."""
    need("git", shutil.which("git") is not None and (ROOT / ".git").exists())
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in run(*listing, folder=ROOT).stdout.split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@cache
def has_package_index():
    """Whether pip can download the build backend from an index."""
    command = [sys.executable, "-m", "pip", "download", "--no-input", "--no-deps"]
    with TemporaryDirectory() as folder:
        done = run(*command, "-d", folder, "setuptools>=77", folder=folder, check=False)
    return done.returncode == 0
