import gzip

import pytest

from chatstore.web.static_files import StaticFiles, compress, package_files

LONG = b"let a = 1;\n" * 100


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "ui").mkdir()
    (tmp_path / "ui" / "app.js").write_bytes(LONG)
    (tmp_path / "page.css").write_bytes(b"p {}")
    return tmp_path


def test_the_hash_is_that_of_names_and_contents(folder):
    before = StaticFiles(folder).hash
    assert StaticFiles(folder).hash == before
    (folder / "page.css").write_bytes(b"q {}")
    changed = StaticFiles(folder).hash
    (folder / "page.css").rename(folder / "sheet.css")
    renamed = StaticFiles(folder).hash
    (folder / "more.css").write_bytes(b"")
    assert len({before, changed, renamed, StaticFiles(folder).hash}) == 4


def test_compressed_files_are_no_files_of_their_own(folder):
    before = StaticFiles(folder).hash
    (folder / "ui" / "app.js.gz").write_bytes(compress(LONG))
    files = StaticFiles(folder)
    assert files.hash == before
    assert files.find("ui/app.js.gz") == (None, False)


def test_the_compressed_file_beside_is_served(folder):
    beside = gzip.compress(LONG, compresslevel=1)
    (folder / "ui" / "app.js.gz").write_bytes(beside)
    file, _ = StaticFiles(folder).find("ui/app.js")
    assert file.gzipped == beside != compress(LONG)


def test_a_compressed_file_of_another_version_is_not_served(folder):
    (folder / "ui" / "app.js.gz").write_bytes(compress(b"another"))
    file, _ = StaticFiles(folder).find("ui/app.js")
    assert gzip.decompress(file.gzipped) == LONG


def test_a_small_file_is_not_compressed(folder):
    file, _ = StaticFiles(folder).find("page.css")
    assert file.gzipped is None


def test_a_file_has_the_bytes_of_the_start_though_the_disk_changes(folder):
    files = StaticFiles(folder)
    (folder / "ui" / "app.js").write_bytes(b"newer")
    file, _ = files.find(f"{files.hash}/ui/app.js")
    assert file.plain == LONG


def test_a_path_says_whether_it_is_of_this_version(folder):
    files = StaticFiles(folder)
    assert files.find(f"{files.hash}/page.css")[1] is True
    assert files.find("page.css")[1] is False
    assert files.find(f"{'0' * 16}/page.css") == (None, False)
    assert files.url("page.css") == f"/static/{files.hash}/page.css"


def test_the_package_is_read_once():
    assert package_files() is package_files()


def test_the_files_are_written_with_their_compressed_copies(folder, tmp_path_factory):
    files, target = StaticFiles(folder), tmp_path_factory.mktemp("www") / "static" / "x"
    files.write_to(target)
    written = {
        path.relative_to(target).as_posix(): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }
    packed = written.pop("ui/app.js.gz")
    assert written == {"page.css": b"p {}", "ui/app.js": LONG}
    assert gzip.decompress(packed) == LONG
    assert [each.name for each in target.parent.iterdir()] == ["x"]
