from chatstore.web.static_files import package_files


def test_the_files_go_where_nginx_looks_for_them(run_command, tmp_path):
    result = run_command("static", str(tmp_path))
    folder = tmp_path / "static" / package_files().hash
    assert (result.exit_code, result.output) == (0, f"{folder}\n")
    assert (folder / "ui" / "app.js").read_text() == package_files().text("ui/app.js")
    assert (folder / "vendor" / "preact" / "preact.mjs.gz").exists()
    assert folder.stat().st_mode & 0o755 == 0o755


def test_a_second_run_changes_nothing_and_other_versions_stay(run_command, tmp_path):
    earlier = tmp_path / "static" / "0123456789abcdef"
    earlier.mkdir(parents=True)
    assert run_command("static", str(tmp_path)).exit_code == 0
    again = run_command("static", str(tmp_path))
    assert again.exit_code == 0
    names = {each.name for each in (tmp_path / "static").iterdir()}
    assert names == {earlier.name, package_files().hash}


def test_a_folder_that_cannot_be_written_is_one_sentence(run_command, tmp_path):
    (tmp_path / "static").write_text("a file")
    result = run_command("static", str(tmp_path))
    assert result.exit_code == 1
    assert "cannot be written" in result.output
    assert "Traceback" not in result.output
