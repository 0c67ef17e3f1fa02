"""Imports point down the rungs of the design, and each layer does its own work."""

import ast
from graphlib import TopologicalSorter

import pytest

from tests.support import ROOT

PACKAGE = ROOT / "chatstore"
RUNGS = [
    {
        "__init__",
        "access",
        "bar_chart",
        "clock",
        "demo",
        "enums",
        "errors",
        "fulltext",
        "interchange",
    }
    | {"logs", "metrics", "periods", "settings", "strict_json"},
    {"app_state", "db", "schemas"},
    {"models"},
    {"store"},
    {"web", "services"},
    {"routes", "shell"},
    {"app", "cli", "commands", "parking", "server", "__main__"},
]
RUNG = {name: number for number, names in enumerate(RUNGS) for name in names}
# The modules that may write queries, each with the reason; store/ needs none.
QUERY_WRITERS = {
    "db": "transactions, pragmas and the revision",
    "models": "constraints and relationships",
    "shell": "gives an administrator the words",
    "store": "",
}


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): ast.parse(path.read_text("utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}


def layer(module):
    """Return the file or folder of the package that contains `module`."""
    return [*module.split("."), "__init__"][1]


def statements(tree, *, with_types=True):
    """Yield every node of `tree`; `with_types=False` skips TYPE_CHECKING blocks."""
    for node in ast.iter_child_nodes(tree):
        is_typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if is_typing and not with_types:
            continue
        yield node
        yield from statements(node, with_types=with_types)


def imports(tree, *, with_types=True):
    """Return the dotted names that `tree` imports, in functions as well."""
    names = set()
    for node in statements(tree, with_types=with_types):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_modules(tree, *, with_types=True):
    """Return the modules of the package that `tree` imports."""
    found = set()
    for name in imports(tree, with_types=with_types):
        if name.partition(".")[0] == "chatstore":
            found.add(name if name in MODULES else name.rpartition(".")[0])
    return found


def names_used(tree):
    """Yield attributes as dotted names, such as `db.session.execute`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    rung = RUNG[layer(module)]
    for imported in imported_modules(MODULES[module]):
        assert RUNG[layer(imported)] <= rung, f"{module} imports {imported}"


def test_no_two_modules_import_each_other():
    graph = {
        module: imported_modules(tree, with_types=False) - {module}
        for module, tree in MODULES.items()
    }
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    ("one", "other"), [("web", "services"), ("services", "web"), ("schemas", "db")]
)
def test_neighbours_do_not_know_each_other(one, other):
    for module, tree in MODULES.items():
        if layer(module) == one:
            assert other not in map(layer, imported_modules(tree)), module


def test_only_entry_points_import_the_application():
    for module, tree in MODULES.items():
        if "app" in map(layer, imported_modules(tree)):
            assert layer(module) in {"cli", "commands", "__main__"}, module


def test_migrations_import_only_the_database_layer():
    paths = [*(ROOT / "migrations").rglob("*.py")]
    assert len(paths) > 10
    for path in paths:
        imported = imported_modules(ast.parse(path.read_text("utf-8")))
        assert set(map(layer, imported)) <= {"db"}, path


def test_imports_stand_at_the_top():
    # gunicorn's master must not import the application, so the server imports late.
    for module, tree in MODULES.items():
        if module == "chatstore.server":
            continue
        late = {
            name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
            for name in imported_modules(node)
        }
        assert not late, module


@pytest.mark.parametrize(
    ("name", "unknown"),
    [
        *[
            (name, "flask sqlalchemy marshmallow alembic apispec")
            for name in sorted(RUNGS[0])
        ],
        ("schemas", "flask sqlalchemy alembic apispec"),
        ("models", "flask marshmallow apispec"),
        ("store", "flask marshmallow apispec"),
        ("services", "marshmallow apispec"),
        ("web", "alembic sqlalchemy"),
        ("routes", "alembic sqlalchemy"),
    ],
)
def test_a_layer_does_not_know_the_tools_of_another(name, unknown):
    for module, tree in MODULES.items():
        if layer(module) == name:
            tools = {imported.partition(".")[0] for imported in imports(tree)}
            assert not tools & set(unknown.split()), module


def test_only_web_and_routes_know_the_request():
    for module, tree in MODULES.items():
        if layer(module) in {"web", "routes"}:
            continue
        of_request = {"flask.request", "flask.g", "flask.session", "flask.globals"}
        assert not of_request & imports(tree), module
        assert not of_request & set(names_used(tree)), module


def test_queries_are_written_in_the_store():
    words = {"select", "insert", "update", "delete", "text", "func"}
    queries = {f"sqlalchemy.{word}" for word in words}
    calls = {"execute", "scalar", "scalars", "get", "add", "add_all", "delete", "query"}
    asking = {f"db.session.{call}" for call in calls} | {"db.select", "db.text"}
    for module, tree in MODULES.items():
        if {layer(module), module.removeprefix("chatstore.")} & QUERY_WRITERS.keys():
            continue
        assert not queries & (imports(tree) | set(names_used(tree))), module
        assert not asking & set(names_used(tree)), module


def test_the_store_never_commits():
    ends = {"commit", "rollback", "begin", "begin_nested", "close", "remove"}
    for module, tree in MODULES.items():
        if layer(module) != "store":
            continue
        used = {f"db.session.{end}" for end in ends} | {"session.commit"}
        assert not used & set(names_used(tree)), module
        names = ("transaction", "core_transaction", "run_write", "run_core_write")
        starts = {f"chatstore.db.{name}" for name in names}
        assert not starts & imports(tree), module


def test_only_the_clock_reads_the_clock():
    readers = {"datetime.now", "datetime.utcnow", "time.time", "date.today"}
    for module, tree in MODULES.items():
        if module != "chatstore.clock":
            assert not readers & set(names_used(tree)), module
