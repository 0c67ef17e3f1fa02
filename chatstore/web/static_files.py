"""The files of `chatstore/static/`, under the URL of a folder that their hash names.

A page and all its modules come from one folder, so an upgrade cannot mix two versions.
Every file may be kept for ever. The files stay in memory: a process that an upgrade has
overtaken still has those that its hash promises.
"""

import gzip
import hashlib
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

PREFIX = "/static/"
FOLDER = Path(__file__).parent.parent / "static"
_HASH_LENGTH = 16
_SMALLEST_TO_COMPRESS = 256  # a packet has room for more
# Python's own table depends on the machine, and browsers refuse modules of other types.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
_OTHER_TYPE = "text/plain; charset=utf-8"


class StaticFile:
    """A file in memory, plain and compressed."""

    def __init__(self, path: Path) -> None:
        self.plain = path.read_bytes()
        self.content_type = _TYPES.get(path.suffix, _OTHER_TYPE)
        self._beside = Path(f"{path}.gz")

    @cached_property
    def gzipped(self) -> bytes | None:
        """The file as gzip; None if that saves nothing.

        The wheel has it beside the file; a checkout compresses it once.
        """
        if len(self.plain) < _SMALLEST_TO_COMPRESS or self.content_type == "image/png":
            return None
        if self._beside.exists():
            packed = self._beside.read_bytes()
            # An upgrade may have replaced the file on the disk since the start.
            if gzip.decompress(packed) == self.plain:
                return packed
        return compress(self.plain)


class StaticFiles:
    """All files of a folder, by their paths in it."""

    def __init__(self, folder: Path) -> None:
        self._files = {name: StaticFile(path) for name, path in _walk(folder)}
        total = hashlib.sha256()
        for name, file in self._files.items():
            total.update(hashlib.sha256(name.encode()).digest())
            total.update(hashlib.sha256(file.plain).digest())
        self.hash = total.hexdigest()[:_HASH_LENGTH]

    @property
    def base(self) -> str:
        """The URL of the folder."""
        return f"{PREFIX}{self.hash}/"

    def url(self, name: str) -> str:
        """Return the URL of a file, which always leads to the same bytes."""
        return f"{self.base}{name}"

    def find(self, path: str) -> tuple[StaticFile | None, bool]:
        """Return the file at a path after `/static/`, and whether it never changes.

        A path may name a file without the hash. The hash of another version finds none.
        """
        name = path.removeprefix(f"{self.hash}/")
        return self._files.get(name), name != path

    def text(self, name: str) -> str | None:
        """Return the text of a file; None if there is no such file."""
        file = self._files.get(name)
        return None if file is None else file.plain.decode()

    def write_to(self, folder: Path) -> None:
        """Write all files and their compressed copies to `folder`, which is new.

        The folder has its name only when it is complete. Raises OSError.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=".static-") as name:
            unfinished = Path(name) / folder.name
            for path, file in self._files.items():
                target = unfinished / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.plain)
                if file.gzipped is not None:
                    Path(f"{target}.gz").write_bytes(file.gzipped)
            unfinished.rename(folder)


def compress(content: bytes) -> bytes:
    """Return `content` as gzip; equal contents are equal compressed."""
    return gzip.compress(content, compresslevel=9, mtime=0)


@cache
def package_files() -> StaticFiles:
    """Return the files of the package, which a process reads once."""
    return StaticFiles(FOLDER)


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".gz":
            yield path.relative_to(folder).as_posix(), path
