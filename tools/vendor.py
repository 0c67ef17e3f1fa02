"""Fetches the libraries of the web UI into chatstore/static/vendor/: `make vendor`.

lock.json there names each package with its version, the sha512 of its archive, and the
files that we take from it, each with its own sha512. A file "without_comments" loses
those of its source, which browsers would load. Needs only Python. The registry is that
of NPM_CONFIG_REGISTRY or of npm, and the lock never names it.
"""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "chatstore" / "static" / "vendor"
LOCK = FOLDER / "lock.json"
USAGE = """usage: python tools/vendor.py [--renew]

Fetches what lock.json names. --renew writes the new sha512 values into lock.json, after
you have changed a version or a list of files there.
"""
_TIMEOUT_SECONDS = 60
_MAX_ARCHIVE_BYTES = 32 * 1024 * 1024


def main(arguments: list[str]) -> None:
    """Write the files of all packages, or exit with what is wrong."""
    if arguments not in ([], ["--renew"]):
        raise SystemExit(USAGE)
    lock = json.loads(LOCK.read_text("utf-8"))
    registry = find_registry()
    written = {}
    for name, package in lock.items():
        archive = fetch(registry, name, package["version"])
        written |= take_files(name, package, archive, renews=bool(arguments))
    # Only now, so that a wrong sum changes nothing.
    for folder in FOLDER.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    for path, content in written.items():
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / path).write_bytes(content)
    if arguments:
        LOCK.write_text(json.dumps(lock, indent=2) + "\n", "utf-8")
    sys.stdout.write(f"{len(written)} files of {len(lock)} packages\n")


def find_registry() -> str:
    """Return the address of the registry, without a slash; exit if none is known."""
    address = os.environ.get("NPM_CONFIG_REGISTRY", "")
    if not address and (npm := shutil.which("npm")):
        asked = subprocess.run(
            [npm, "config", "get", "registry"], capture_output=True, text=True
        )
        address = asked.stdout.strip()
    if not address.startswith("http"):
        raise SystemExit("Install npm, or set NPM_CONFIG_REGISTRY to a registry.")
    return address.rstrip("/")


def fetch(registry: str, name: str, version: str) -> bytes:
    """Return the archive of a package."""
    url = f"{registry}/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
        archive: bytes = answer.read(_MAX_ARCHIVE_BYTES + 1)
    if len(archive) > _MAX_ARCHIVE_BYTES:
        raise SystemExit(f"{name} {version} is larger than {_MAX_ARCHIVE_BYTES} bytes.")
    return archive


def take_files(
    name: str, package: dict[str, Any], archive: bytes, *, renews: bool
) -> dict[str, bytes]:
    """Return the files that the lock names, by their path in the folder.

    Compare all sums with the lock, or write them into it if `renews`.
    """
    sums = [(package, "integrity", archive)]
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for path, each in package["files"].items():
            member = tar.extractfile(f"package/{each['from']}")
            if member is None:
                raise SystemExit(f"{name} has no file {each['from']}.")
            content = member.read()
            if each.get("without_comments"):
                content = without_comments(content)
            found[path] = content
            sums.append((each, "sha512", found[path]))
    for place, key, content in sums:
        if renews:
            place[key] = sha512(content)
        elif place[key] != sha512(content):
            raise SystemExit(f"{name} {package['version']}: the {key} is another.")
    return found


def without_comments(content: bytes) -> bytes:
    """Return a module without its blocks `/** … */`; a licence in `/*! … */` stays."""
    return re.sub(rb"(?ms)^[ \t]*/\*\*.*?\*/[ \t]*\n", b"", content)


def sha512(content: bytes) -> str:
    """Return the sum as npm and browsers write it."""
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


if __name__ == "__main__":
    main(sys.argv[1:])
