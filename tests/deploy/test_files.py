"""The files in deploy/ agree with each other, with the settings and the docs."""

import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from chatstore.settings import Settings
from tests.support import ROOT, assert_problem, clean_environ, free_port, need
from tests.support.nginx import DEPLOY, DOCS, Nginx

SOCKET = "/run/chatstore/chatstore.sock"
UNITS = [path for path in sorted(DEPLOY.glob("chatstore*")) if path.suffix != ".env"]
NIGHTLY = ["chatstore-backup", "chatstore-purge"]


def read(name: str) -> str:
    return (DEPLOY / name).read_text()


def assignments(text: str) -> dict[str, str]:
    """Return the settings in an environment file; the last of duplicates wins."""
    return dict(re.findall(r"^#?(CHATSTORE_\w+)=(.*)$", text, re.MULTILINE))


def unit(name: str) -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(read(name))
    return parser


def services() -> dict[str, Any]:
    """Return the services of compose.yaml by name."""
    return yaml.safe_load(read("compose.yaml"))["services"]


def run_command(name: str, backups: Path, **environ: str) -> str:
    """Run a service's ExecStart as systemd does, with our paths; return the output."""
    line = unit(name)["Service"]["ExecStart"].replace("$$", "$").replace("%%", "%")
    line = line.replace("/opt/chatstore/bin/", f"{sys.executable} -m ")
    line = line.replace("/var/lib/chatstore-backups", str(backups))
    return subprocess.run(
        shlex.split(line),
        env=clean_environ(**environ),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_environment_file_is_one_that_chatstore_starts_with():
    in_use = re.sub("^#.*", "", read("chatstore.env"), flags=re.MULTILINE)
    settings = Settings.from_env(assignments(in_use))
    assert settings.bind == f"unix:{SOCKET}"
    assert settings.proxy_hops == 1
    assert settings.max_body_bytes == Settings().max_body_bytes


def test_what_is_commented_out_can_be_used():
    assert Settings.from_env(assignments(read("chatstore.env"))).sqlite_path is None


def test_everybody_means_the_same_socket():
    assert f"server unix:{SOCKET};" in read("nginx.conf")
    assert f"ListenStream={SOCKET}\n" in read("chatstore.socket")
    assert services()["app"]["environment"]["CHATSTORE_BIND"] == f"unix:{SOCKET}"


def test_nginx_takes_a_little_more_than_chatstore():
    (megabytes,) = re.findall(r"client_max_body_size (\d+)m;", read("nginx.conf"))
    assert int(megabytes) * 1024 * 1024 == Settings().max_body_bytes + 1024 * 1024


def test_nginx_waits_longer_than_chatstore_does():
    (seconds,) = re.findall(r"proxy_read_timeout (\d+)s;", read("nginx.conf"))
    settings = Settings()
    # One deadline bounds all waits for locks. An attempt that begins just before it may
    # still wait for a connection and a lock, then run a statement.
    assert int(seconds) > (
        settings.lock_timeout_seconds
        + settings.pool_timeout_seconds
        + settings.pool_timeout_seconds / 2
        + settings.statement_timeout_seconds
    )


def test_systemd_understands_the_units(tmp_path):
    need("systemd-analyze", shutil.which("systemd-analyze") is not None)
    for path in UNITS:
        text = path.read_text().replace("/opt/chatstore/bin/chatstore", sys.executable)
        (tmp_path / path.name).write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", *sorted(tmp_path.glob("*"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stderr) == (0, "")


def test_systemd_waits_longer_than_gunicorn():
    service = unit("chatstore.service")["Service"]
    from_server = re.findall(
        r"^graceful_timeout = (\d+)", (ROOT / "chatstore/server.py").read_text(), re.M
    )
    assert int(service["TimeoutStopSec"]) > int(from_server[0])
    assert service["ExecStart"].endswith("/chatstore serve")
    grace = services()["app"]["stop_grace_period"]
    assert grace == f"{service['TimeoutStopSec']}s"


@pytest.mark.parametrize("name", NIGHTLY)
def test_what_runs_at_night_is_as_locked_in_as_the_server(name):
    server, nightly = (
        dict(unit(f"{each}.service")["Service"]) for each in ("chatstore", name)
    )
    only_server = {"NotifyAccess", "ExecReload", "Restart", "RestartSec", "KillMode"}
    only_server |= {"TimeoutStopSec", "LimitNOFILE"}
    assert set(server) - set(nightly) == only_server
    assert set(nightly) <= set(server)
    differing = {each for each in nightly if nightly[each] != server[each]}
    assert differing <= {"Type", "ExecStart", "StateDirectory"}
    folders = {f"/var/lib/{each}" for each in nightly["StateDirectory"].split()}
    assert folders == {server["WorkingDirectory"]} | set(
        re.findall(r"/var/lib/[\w-]+", nightly["ExecStart"])
    )


@pytest.mark.parametrize("name", NIGHTLY)
def test_what_runs_at_night_has_a_timer_that_the_docs_enable(name):
    timer = unit(f"{name}.timer")
    assert timer["Timer"]["OnCalendar"]
    assert timer["Install"]["WantedBy"] == "timers.target"
    (enabled,) = re.findall("systemctl enable --now (.*)", DOCS)
    assert f"{name}.timer" in enabled.split()


def test_the_backup_of_the_night_keeps_one_file_a_weekday(sqlite_template, tmp_path):
    # The backup writes an entry of the audit log.
    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'chatstore.db')}"
    folder = tmp_path / "backups"
    folder.mkdir()
    for _ in ("one week", "the next"):
        run_command("chatstore-backup.service", folder, CHATSTORE_DATABASE_URL=url)
    (file,) = folder.iterdir()
    assert re.fullmatch(r"[1-7]\.backup", file.name)
    assert file.read_bytes().startswith(b"SQLite format 3")


def test_old_idempotency_records_are_purged_at_night(sqlite_template, tmp_path):
    url = f"sqlite:///{sqlite_template}"
    said = run_command("chatstore-purge.service", tmp_path, CHATSTORE_DATABASE_URL=url)
    assert said == "purged 0 idempotency records\n"


def test_the_image_is_made_of_files_that_are_there():
    lines = re.findall(r"^COPY (?!--)(.+) \S+$", read("Dockerfile"), re.MULTILINE)
    copied = {name for line in lines for name in line.split()}
    assert {name for name in copied if not (ROOT / name).exists()} == set()
    assert {"chatstore", "migrations", "setup.cfg", "pyproject.toml"} <= copied


def test_the_image_runs_chatstore_itself_and_not_as_root():
    last_stage = read("Dockerfile").rpartition("\nFROM ")[2]
    assert last_stage.index("\nUSER chatstore\n") < last_stage.index("\nCMD ")
    assert last_stage.rstrip().endswith('CMD ["chatstore", "serve"]')
    environ = dict(re.findall(r"(CHATSTORE_\w+)=(\S+)", last_stage))
    assert Settings.from_env(environ).bind == "0.0.0.0:8000"
    # `docker run` must say who may read what, and the docs' command does.
    assert Settings.from_env(environ).open_bind_flaw is not None
    (auth,) = re.findall(r"docker run [^`]*--env (CHATSTORE_AUTH)=(\S+)", DOCS)
    assert Settings.from_env(environ | dict([auth])).open_bind_flaw is None


def test_compose_gives_chatstore_settings_that_it_starts_with():
    values = {
        name: re.sub(r"\$\{\w+:\?[^}]*\}", "secret", str(value))
        for name, value in services()["app"]["environment"].items()
    }
    assert Settings.from_env(values).bind == f"unix:{SOCKET}"
    assert Settings.from_env(values).sqlite_path is None


def test_compose_mounts_and_builds_from_files_that_are_there():
    mounted = [
        volume.split(":")[0]
        for service in services().values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    ]
    assert mounted
    assert [path for path in mounted if not (DEPLOY / path).is_file()] == []
    build = services()["app"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()


def test_compose_wants_only_variables_that_the_docs_make():
    wanted = set(re.findall(r"\$\{(\w+)", read("compose.yaml")))
    assert wanted == set(re.findall(r"([A-Z_]{9,})=%s", DOCS))


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_each_file_is_in_the_docs(path):
    assert f"`{path.name}`" in DOCS


def check_health(bind: str) -> int:
    return subprocess.run(
        [sys.executable, str(DEPLOY / "healthcheck.py")],
        env=clean_environ(CHATSTORE_BIND=bind),
        stderr=subprocess.DEVNULL,
        check=False,
    ).returncode


def test_the_health_check_knows_life_from_death(site):
    assert check_health(f"unix:{site.folder}/chatstore.sock") == 0
    assert check_health(f"127.0.0.1:{site.port}") == 0
    assert check_health(f"unix:{site.folder}/nobody.sock") != 0
    assert check_health(f"127.0.0.1:{free_port()}") != 0


def test_the_lines_about_tls_work_as_they_stand(site, folder):
    need("openssl", shutil.which("openssl") is not None)
    certificate, key = folder / "chatstore.crt", folder / "chatstore.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-batch"]
        + ["-subj", "/CN=a.example", "-addext", "subjectAltName=DNS:a.example"]
        + ["-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    port = free_port()
    changes = {
        "# listen 443 ssl default_server;": f"listen 127.0.0.1:{port} ssl;",
        "# ssl_": "ssl_",
        f"unix:{SOCKET}": f"unix:{site.folder}/chatstore.sock",
    }
    context = ssl.create_default_context(cafile=str(certificate))
    with (
        Nginx(folder, changes) as nginx,
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="a.example") as secure,
    ):
        secure.sendall(b"GET /echo HTTP/1.0\r\nHost: a.example\r\n\r\n")
        assert b'"url":"https://a.example/echo"' in secure.makefile("rb").read()
        nginx.port = port
        assert_problem(nginx.request("GET", "/echo"), 400)
