"""Rules for the tests themselves: where they stand, and what they must not patch."""

import ast
from functools import cache

import pytest

from tests.support import ROOT

TESTS = sorted((ROOT / "tests").rglob("*.py"))
TEST_MODULES = [path for path in TESTS if path.name.startswith("test_")]
MODULES = sorted(
    path.relative_to(ROOT / "chatstore")
    for path in (ROOT / "chatstore").rglob("*.py")
    if path.name != "__init__.py"
)
# Modules without a test at the mirrored path, and the file or folder that tests them.
TESTED_ELSEWHERE = {
    # Names that all layers share.
    "__main__.py": "test_server.py",
    "enums.py": "contract/test_openapi.py",
    "metrics.py": "services/test_purges.py",
    "errors.py": "contract/test_error_shape.py",
    # Tables and shapes without functions: the queries and routes use each column.
    "models/access.py": "store/test_keys.py",
    "web/auth/authenticator.py": "web/auth/test_callers.py",
    "web/auth/bearer.py": "web/auth/test_api_keys.py",
    "web/auth/known_tokens.py": "web/auth/test_api_keys.py",
    "web/auth/openid_attempts.py": "routes/test_openid_logins.py",
    "web/login_pages.py": "routes/test_openid_logins.py",
    "access/id_tokens.py": "routes/test_openid_logins.py",
    "web/audit.py": "store/test_audit.py",
    "commands/admin.py": "test_cli.py",
    "commands/row_security.py": "store/test_row_security.py",
    "db/row_owner.py": "store/test_row_security.py",
    "models/changes.py": "migrations/test_changes.py",
    "models/facets.py": "store/test_facets.py",
    "models/usage.py": "store/test_usage.py",
    "models/idempotency.py": "store/test_idempotency.py",
    "models/jobs.py": "store/test_jobs.py",
    "schemas/audit.py": "routes/test_audit.py",
    "schemas/branches.py": "routes/test_branches.py",
    "models/feedback.py": "store/test_feedback.py",
    "models/revisions.py": "store/test_revisions.py",
    "schemas/changes.py": "routes/test_changes.py",
    "web/change_tokens.py": "routes/test_changes.py",
    "schemas/corrections.py": "routes/test_corrections.py",
    "schemas/facets.py": "routes/test_facets.py",
    "schemas/filters.py": "routes/test_session_lists.py",
    "schemas/forks.py": "routes/test_forks.py",
    "schemas/health.py": "routes/test_health.py",
    "schemas/keys.py": "routes/test_keys.py",
    "schemas/me.py": "routes/test_me.py",
    "schemas/messages.py": "routes/test_messages.py",
    "schemas/problems.py": "contract/test_error_shape.py",
    "schemas/search.py": "routes/test_search.py",
    "schemas/sessions.py": "routes/test_sessions.py",
    "schemas/shares.py": "routes/test_shares.py",
    "web/sharing.py": "routes/test_shares.py",
    "schemas/usage.py": "routes/test_usage.py",
    # Parts of one use case, tested as a whole.
    "services/backup/whole_database.py": "services/backup/test_backup.py",
    "store/search/rows.py": "store/search/test_plans.py",
    "store/search/hits.py": "store/search/test_pages.py",
    "services/clearing.py": "store/test_clearing.py",
    "services/edits.py": "store/test_edits.py",
    "services/usage.py": "store/test_usage.py",
    "store/answers.py": "store/test_erasures.py",
    "store/owner_moves.py": "services/test_owners.py",
    "store/owner_exports.py": "services/test_owner_exports.py",
    "store/search/owner_entries.py": "store/test_owners.py",
    "store/locks.py": "store/test_erasures.py",
    "store/message_copies.py": "store/test_forks.py",
}


@cache
def tree_of(path):
    return ast.parse(path.read_text("utf-8"))


def nodes(path, kind):
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, kind))


def imports(path):
    """Yield the dotted names that a test imports, and each name's local alias."""
    for node in nodes(path, ast.Import):
        for alias in node.names:
            yield alias.name, alias.asname or alias.name
    for node in nodes(path, ast.ImportFrom):
        for alias in node.names:
            yield f"{node.module}.{alias.name}", alias.asname or alias.name


def calls(path):
    """Yield each call: the text of its function, the texts of its arguments."""
    for node in nodes(path, ast.Call):
        yield ast.unparse(node.func), [ast.unparse(each) for each in node.args]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_imports_a_test_module(path):
    for name, _ in imports(path):
        folder, *others = name.split(".")
        if folder == "tests":
            assert not any(part.startswith("test_") for part in others), name
            assert "conftest" not in others, name


def test_each_module_has_a_test_at_the_mirrored_path():
    missing = {
        str(path)
        for path in MODULES
        if not (ROOT / "tests" / path.with_name(f"test_{path.name}")).exists()
    }
    assert missing == TESTED_ELSEWHERE.keys()


@pytest.mark.parametrize("test", sorted(set(TESTED_ELSEWHERE.values())))
def test_what_is_tested_elsewhere_is_tested_there(test):
    assert (ROOT / "tests" / test).exists()


def test_nothing_of_ours_is_patched_but_the_clock():
    patched = set()
    for path in TESTS:
        ours = {
            alias: name
            for name, alias in imports(path)
            if name.split(".")[0] == "chatstore"
        }
        for function, arguments in calls(path):
            if function.endswith("setattr"):
                root, *rest = arguments[0].strip("'").split(".")
                patched.add(".".join([ours.get(root, root), *rest]))
    assert {each for each in patched if each.startswith("chatstore")} == {
        "chatstore.clock"
    }


def test_only_wait_until_and_the_torture_sleep():
    sleepers = {
        path.relative_to(ROOT / "tests").parts[0]
        for path in TESTS
        for function, _ in calls(path)
        if function in ("time.sleep", "sleep")
    }
    assert sleepers == {"support", "torture"}
    assert all(
        "unittest.mock" not in name or name == "unittest.mock.ANY"
        for path in TESTS
        for name, _ in imports(path)
    )
