"""`make vendor`, against a registry of our own on this machine."""

import io
import json
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support import ROOT, clean_environ

MODULE = b"export const a = 1;\n"


def archive(files):
    """Return a package as npm packs it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def registry():
    """A registry with one package; `packages` maps its paths to archives."""
    packages = {
        "/@a/lib/-/lib-1.2.3.tgz": archive(
            {"dist/lib.mjs": MODULE, "LICENSE": b"Free.\n", "install.js": b"x"}
        )
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = packages.get(self.path)
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.packages = packages
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def vendor(tmp_path, registry):
    """Run a copy of the script whose folder has the lock of one package."""
    folder = tmp_path / "chatstore" / "static" / "vendor"
    folder.mkdir(parents=True)
    (tmp_path / "tools").mkdir()
    script = tmp_path / "tools" / "vendor.py"
    script.write_bytes((ROOT / "tools" / "vendor.py").read_bytes())
    files = {
        "lib/lib.mjs": {"from": "dist/lib.mjs", "sha512": ""},
        "lib/LICENSE": {"from": "LICENSE", "sha512": ""},
    }
    lock = {"@a/lib": {"version": "1.2.3", "integrity": "", "files": files}}
    (folder / "lock.json").write_text(json.dumps(lock))
    port = registry.server_address[1]

    def run(*arguments):
        return subprocess.run(
            [sys.executable, script, *arguments],
            env=clean_environ(NPM_CONFIG_REGISTRY=f"http://127.0.0.1:{port}/"),
            capture_output=True,
            text=True,
            timeout=60,
        )

    run.folder = folder
    return run


def written(folder):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_files_of_the_lock_are_taken_and_no_others(vendor):
    (vendor.folder / "old").mkdir()
    (vendor.folder / "old" / "old.js").write_text("")
    assert vendor("--renew").stdout == "2 files of 1 packages\n"
    assert written(vendor.folder) == {"lib/lib.mjs", "lib/LICENSE", "lock.json"}
    assert (vendor.folder / "lib" / "lib.mjs").read_bytes() == MODULE
    assert "127.0.0.1" not in (vendor.folder / "lock.json").read_text()
    lock = (vendor.folder / "lock.json").read_bytes()
    assert vendor().returncode == 0
    assert (vendor.folder / "lock.json").read_bytes() == lock


def test_another_archive_of_the_same_version_changes_nothing(vendor, registry):
    vendor("--renew")
    (path,) = registry.packages
    registry.packages[path] = archive({"dist/lib.mjs": b"evil", "LICENSE": b"Free.\n"})
    refused = vendor()
    assert refused.returncode == 1
    assert "@a/lib 1.2.3: the integrity is another." in refused.stderr
    assert (vendor.folder / "lib" / "lib.mjs").read_bytes() == MODULE


def test_a_file_can_lose_its_comments_but_not_its_licence(vendor, registry):
    (path,) = registry.packages
    kept = b"/*! Free. */\nconst a = '/** x */';\n"
    module = kept + b"/**\n * Says.\n */\n\t/** b */\n/* c */\n"
    registry.packages[path] = archive({"dist/lib.mjs": module, "LICENSE": b"Free.\n"})
    lock = vendor.folder / "lock.json"
    text = lock.read_text()
    lock.write_text(text.replace('"from": "d', '"without_comments": true, "from": "d'))
    vendor("--renew")
    assert (vendor.folder / "lib" / "lib.mjs").read_bytes() == kept + b"/* c */\n"
    assert vendor().returncode == 0


def test_a_wrong_option_is_explained(vendor):
    refused = vendor("--force")
    assert refused.returncode == 1
    assert refused.stderr.startswith("usage: ")
