import os
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from chatstore.errors import SettingsError
from chatstore.settings import PREFIX, Settings

# Each numeric setting with its bounds.
NUMBERS = {
    f"{PREFIX}{each.name.upper()}": (each.metadata["minimum"], each.metadata["maximum"])
    for each in fields(Settings)
    if each.type is int
}


def settings(**variables):
    """Return the settings of an environment with these variables and unrelated ones."""
    ours = {f"{PREFIX}{name.upper()}": value for name, value in variables.items()}
    return Settings.from_env({"PATH": "/bin", "MYCHATSTORE_X": "1"} | ours)


def refusal(**variables):
    with pytest.raises(SettingsError) as caught:
        settings(**variables)
    return caught.value.detail


def test_an_empty_environment_gives_the_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert settings() == Settings()
    assert settings().database_url == f"sqlite:///{tmp_path}/instance/chatstore.db"
    assert settings().bind == "127.0.0.1:8000"
    assert settings().max_page_size == 1000


def test_the_environment_of_the_process_is_read_by_default(monkeypatch):
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CHATSTORE_WORKERS", "3")
    assert Settings.from_env().workers == 3


def test_settings_do_not_change():
    with pytest.raises(FrozenInstanceError):
        settings().workers = 3


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("workers", "1", 1),
        ("threads", " 12 ", 12),
        ("proxy_hops", "0", 0),
        ("max_tags", "0", 0),
        ("statement_timeout_seconds", "0", 0),
        ("log_level", "DEBUG", "debug"),
        ("log_format", "Console", "console"),
        ("bind", "0.0.0.0:80", "0.0.0.0:80"),
        ("bind", "localhost:65535", "localhost:65535"),
        ("bind", "[::1]:8000", "[::1]:8000"),
        ("bind", "unix:/run/chatstore.sock", "unix:/run/chatstore.sock"),
        ("default_model_name", "x" * 255, "x" * 255),
        ("secret_key", " kept as it is ", " kept as it is "),
    ],
)
def test_a_variable_sets_its_setting(variable, text, value):
    assert getattr(settings(**{variable: text}), variable) == value


@pytest.mark.parametrize("variable", NUMBERS)
@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1.5", "1_0", "+1", "٣", "1e3", "9" * 16]
)
def test_a_number_must_be_one(variable, text):
    detail = refusal(**{variable.removeprefix(PREFIX): text})
    assert variable in detail
    assert repr(text) in detail
    assert "whole number" in detail


@pytest.mark.parametrize("variable", NUMBERS)
def test_a_number_is_within_its_bounds(variable):
    name = variable.removeprefix(PREFIX).lower()
    least, most = NUMBERS[variable]
    if least > 0:
        assert f"{least}" in refusal(**{name: str(least - 1)})
    assert f"{most}" in refusal(**{name: str(most + 1)})
    default = next(each.default for each in fields(Settings) if each.name == name)
    assert least <= default <= most


@pytest.mark.parametrize(
    ("variable", "text"),
    [("log_level", "loud"), ("log_format", "xml"), ("log_level", "")],
)
def test_a_word_must_be_a_known_one(variable, text):
    detail = refusal(**{variable: text})
    assert f"{PREFIX}{variable.upper()} is {text!r}. Give one of" in detail


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8000",
        "localhost",
        "localhost:",
        ":8000",
        "localhost:http",
        "unix:",
        "::1:80",
    ]
    + ["127.0.0.1:65536", "127.0.0.1:99999", "local host:80"],
)
def test_an_address_must_be_one(text):
    assert "CHATSTORE_BIND" in refusal(bind=text)


@pytest.mark.parametrize("text", [" ", "\n", " \t\r\n", "\u3000"])
def test_a_blank_secret_is_refused(text):
    detail = refusal(secret_key=text)
    assert detail.startswith("CHATSTORE_SECRET_KEY is only white space")
    assert settings(secret_key="").secret_key == ""


@pytest.mark.parametrize("text", ["", " ", "x" * 256])
def test_a_default_model_must_fit_its_column(text):
    assert "CHATSTORE_DEFAULT_MODEL_NAME" in refusal(default_model_name=text)


def test_the_default_page_is_no_larger_than_the_largest():
    detail = refusal(default_page_size="51", max_page_size="50")
    assert "CHATSTORE_DEFAULT_PAGE_SIZE" in detail
    assert "CHATSTORE_MAX_PAGE_SIZE" in detail
    assert settings(default_page_size="50", max_page_size="50").max_page_size == 50


# Names


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("CHATSTORE_DATABASE", "CHATSTORE_DATABASE_URL"),
        ("CHATSTORE_DATABSE_URL", "CHATSTORE_DATABASE_URL"),
        ("CHATSTORE_WORKER", "CHATSTORE_WORKERS"),
        ("CHATSTORE_workers", "CHATSTORE_WORKERS"),
        ("CHATSTORE_MAX_CONTENT", "CHATSTORE_MAX_CONTENT_BYTES"),
        ("CHATSTORE_LOGLEVEL", "CHATSTORE_LOG_LEVEL"),
    ],
)
def test_a_misspelt_variable_is_told_what_was_meant(variable, meant):
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({variable: "1"})
    assert caught.value.detail.startswith(f"{variable} is not a setting")
    assert f"Did you mean {meant}?" in caught.value.detail


def test_an_unknown_variable_is_told_where_to_look():
    assert "docs/settings.md" in refusal(qqqqqqqqqqqqqqqqqqqqqqqq="1")


# Database URLs


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////var/lib/chat.db", "/var/lib/chat.db"),
        ("sqlite:////var/lib/my chats/chat%20.db", "/var/lib/my chats/chat%20.db"),
    ],
)
def test_an_absolute_path_of_sqlite_is_kept(url, path):
    found = settings(database_url=url)
    assert found.database_url == url
    assert found.sqlite_path == Path(path)


def test_a_relative_path_of_sqlite_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = settings(database_url="sqlite:///data/chat.db")
    monkeypatch.chdir("/")
    assert found.sqlite_path == tmp_path / "data" / "chat.db"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_url_of_postgresql_works_as_people_paste_it(scheme):
    rest = "chat:p%40ss@db.example:5432/chat?sslmode=require"
    found = settings(database_url=f"{scheme}://{rest}")
    assert found.database_url == f"postgresql+psycopg://{rest}"
    assert found.sqlite_path is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "chat.db",
        "mysql://host/chat",
        "sqlite://",
        "sqlite:///",
        "sqlite://chat.db",
        "sqlite:///:memory:",
        "sqlite:///chat.db?mode=ro",
        "sqlite:///chat.db#1",
        "postgresql+psycopg2://host/chat",
        "postgresql://[host/chat",
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url):
    assert "CHATSTORE_DATABASE_URL" in refusal(database_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://chat:hunter2@[host/chat",
        "postgresql://chat:hunter2℀@host/chat",
        "mysql://chat:hunter2@host/chat",
        "chat:hunter2@host/chat",
    ],
)
def test_a_refused_url_does_not_show_its_password(url):
    assert "hunter2" not in refusal(database_url=url)


def test_what_is_printed_holds_no_secret():
    found = settings(
        database_url="postgresql://chat:hunter2@host/chat", secret_key="hush"
    )
    assert "workers=2" in repr(found)
    assert "hunter2" not in repr(found)
    assert "hush" not in repr(found)


# Other numbers bound what a process holds or counts.
ON_DISK = {"max_bytes_per_owner"}


def test_every_number_has_an_upper_bound_that_stops_the_start():
    for each in fields(Settings):
        if each.type is int:
            most = each.metadata["maximum"]
            assert each.metadata["minimum"] <= each.default <= most
            assert most <= 64 * 1024 * 1024 or each.name in ON_DISK
            with pytest.raises(SettingsError, match=f"to {most}"):
                Settings.from_env({f"{PREFIX}{each.name.upper()}": str(most + 1)})


@pytest.mark.parametrize("name", ["max_document_id_length", "max_tag_length"])
def test_what_is_indexed_fits_into_a_row_of_a_b_tree(name):
    (setting,) = [each for each in fields(Settings) if each.name == name]
    owner, kind, session_id, header = 255, 16, 16, 16
    longest = 4 * setting.metadata["maximum"]
    assert longest + owner + kind + session_id + header <= 2704


@pytest.mark.parametrize(
    "names",
    ["http://chat.example", "chat.example:8000", "*.example", "a b", "..example"]
    + ["chat.example/x", "a.example;b.example", "[::1", "."],
)
def test_a_bad_allowed_host_is_named(names):
    with pytest.raises(SettingsError, match="CHATSTORE_ALLOWED_HOSTS has"):
        Settings.from_env({"CHATSTORE_ALLOWED_HOSTS": names})


def test_sqlite_has_no_row_security() -> None:
    with pytest.raises(SettingsError, match="needs PostgreSQL"):
        Settings(row_security=1)


# Tokens and proxies


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"auth": "jwt"}, "CHATSTORE_AUTH has jwt, but nothing verifies tokens"),
        ({"jwt_secret": "x" * 31}, "CHATSTORE_JWT_SECRET must have at least 32 bytes"),
        ({"jwks": "http://id.example/keys"}, "CHATSTORE_JWKS must be a file or"),
        ({"jwks": "http://127.0.0.1.evil.example/"}, "CHATSTORE_JWKS must be"),
        ({"jwks": "https://me:word@id.example/"}, "CHATSTORE_JWKS must be"),
        ({"jwks": "https://"}, "CHATSTORE_JWKS must be"),
        ({"jwks": "https://id.example:x/"}, "CHATSTORE_JWKS must be"),
        ({"jwks": "https://id.example/\r\nA: b"}, "CHATSTORE_JWKS must be"),
        ({"jwks": "file:///etc/keys"}, "CHATSTORE_JWKS must be"),
        ({"jwt_owner_claim": ""}, "CHATSTORE_JWT_OWNER_CLAIM is empty"),
        ({"auth": "proxy"}, "CHATSTORE_AUTH has proxy, but CHATSTORE_TRUSTED_PROX"),
        ({"trusted_proxies": "nginx"}, "CHATSTORE_TRUSTED_PROXIES has 'nginx'"),
        ({"trusted_proxies": "unix,0.0.0.0/0"}, "has '0.0.0.0/0'"),
        ({"proxy_owner_header": "X User"}, "CHATSTORE_PROXY_OWNER_HEADER is 'X User'"),
        ({"proxy_owner_header": "Authorization"}, "CHATSTORE_PROXY_OWNER_HEADER is"),
        *(
            ({"proxy_owner_header": name}, f"CHATSTORE_PROXY_OWNER_HEADER is '{name}'")
            for name in ("X-Forwarded-For", "x-forwarded-host", "X-Request-Id")
            + ("X-Real-IP", "If-Match", "Content-Length", "Idempotency-Key", "Origin")
            + ("Sec-Fetch-Site", "X-Chatstore-Owner", "Forwarded", "Accept")
        ),
    ],
)
def test_a_setting_that_trusts_too_much_or_nothing_is_refused(variables, sentence):
    assert sentence in refusal(**variables)


OPENID = {
    "auth": "api-key",
    "openid_issuer": "https://id.example",
    "openid_client_id": "chat",
}


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"auth": "none"}, "CHATSTORE_OPENID_ISSUER needs CHATSTORE_AUTH"),
        ({"openid_issuer": "http://id.example"}, "CHATSTORE_OPENID_ISSUER must be"),
        ({"openid_issuer": "id.example"}, "CHATSTORE_OPENID_ISSUER must be"),
        ({"openid_issuer": "https://id.example?a"}, "CHATSTORE_OPENID_ISSUER must be"),
        ({"openid_client_id": ""}, "needs CHATSTORE_OPENID_CLIENT_ID"),
        ({"openid_client_id": "ü"}, "CHATSTORE_OPENID_CLIENT_ID must have ASCII"),
        ({"openid_client_secret": "a\nb"}, "CHATSTORE_OPENID_CLIENT_SECRET must have"),
        ({"openid_scopes": "email"}, "CHATSTORE_OPENID_SCOPES must have the word"),
        ({"openid_owner_claim": ""}, "must not be empty"),
        ({"openid_name": " "}, "must not be empty"),
        ({"openid_redirect_uri": "https://a.example/"}, "OPENID_REDIRECT_URI must be"),
        (
            {"openid_redirect_uri": "http://a.example/login/openid/callback"},
            "CHATSTORE_OPENID_REDIRECT_URI must be an https URL",
        ),
    ],
)
def test_settings_of_openid_that_cannot_work_are_refused(variables, sentence):
    assert sentence in refusal(**OPENID | variables)


def test_settings_of_openid_let_browsers_log_in():
    assert not settings(auth="jwt", jwt_secret="x" * 32).has_browser_logins
    assert settings(**OPENID).has_browser_logins
    assert "id.example" not in repr(settings(**OPENID))
    assert settings(
        **OPENID,
        openid_redirect_uri="https://chat.example/login/openid/callback",
    )


@pytest.mark.parametrize(
    "variables",
    [
        {"auth": "jwt", "jwt_secret": "ü" * 16},
        {"auth": "jwt", "jwks": "/etc/chatstore/jwks.json"},
        {"jwks": "https://id.example/keys?p=1"},
        {"jwks": "http://localhost:8080/keys"},
        {"jwks": "http://[::1]:8080/keys"},
        {"auth": "api-key,proxy", "trusted_proxies": "unix, 10.0.0.0/8"},
    ],
)
def test_settings_of_tokens_and_proxies_are_taken(variables):
    assert settings(**variables)


@pytest.mark.parametrize(
    "origins",
    ["*", "null", "chat.example", "https://*.example", "https://chat.example/"]
    + ["https://chat.example:443", "http://chat.example:80", "https://bücher.example"]
    + ["https://a.example https://b.example", "https://user@chat.example", "https://"],
)
def test_an_origin_that_no_browser_sends_is_named(origins):
    with pytest.raises(SettingsError, match="CHATSTORE_CORS_ORIGINS has"):
        Settings.from_env({"CHATSTORE_CORS_ORIGINS": f"https://ok.example,{origins}"})


def test_origins_are_exact():
    settings = Settings(cors_origins=" https://Chat.example , http://[::1]:3000,")
    assert settings.allowed_origins == ("https://chat.example", "http://[::1]:3000")


@pytest.mark.parametrize(
    ("values", "is_open"),
    [
        ({"bind": "0.0.0.0:8000"}, True),
        ({"bind": "[::]:8000"}, True),
        ({"bind": "chat.example:8000"}, True),
        ({"bind": "127.0.0.2:8000"}, False),
        ({"bind": "[::1]:8000"}, False),
        ({"bind": "localhost:8000"}, False),
        ({"bind": "unix:/run/chatstore.sock"}, False),
        ({"bind": "0.0.0.0:8000", "auth": "api-key"}, False),
        ({"bind": "0.0.0.0:8000", "allow_anonymous": "1"}, False),
    ],
)
def test_without_logins_only_this_machine_may_reach_the_server(values, is_open):
    assert (settings(**values).open_bind_flaw is not None) is is_open


@pytest.mark.parametrize(
    ("auth", "modes"),
    [("none", {"none"}), (" API-Key ", {"api-key"}), ("api-key,api-key", {"api-key"})],
)
def test_auth_names_the_modes(auth, modes):
    assert settings(auth=auth).auth_modes == modes


@pytest.mark.parametrize(
    "auth", ["", "keys", "api-key,", "api-key,none", "api-key jwt"]
)
def test_a_bad_auth_is_named(auth):
    with pytest.raises(SettingsError, match="CHATSTORE_AUTH is"):
        Settings.from_env({"CHATSTORE_AUTH": auth})


# Limits


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"rate_limit_storage": "s3cret"}, "redis://"),
        ({"rate_limit_storage": "memcached://s3cret@host"}, "redis://"),
        (
            {"address_requests_per_minute": "9", "bind": "unix:/run/x.sock"},
            "CHATSTORE_PROXY_HOPS",
        ),
    ],
)
def test_limits_that_cannot_work_stop_the_start(variables, words):
    detail = refusal(**variables)
    assert words in detail
    assert "s3cret" not in detail


def test_addresses_behind_a_trusted_proxy_can_be_limited():
    limited = settings(
        address_requests_per_minute="9", bind="unix:/run/x.sock", proxy_hops="1"
    )
    assert limited.address_requests_per_minute == 9
