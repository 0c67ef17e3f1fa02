"""setup.cfg declares all imports with bounds; constraints.txt fits these bounds."""

import ast
import re
import sys
from configparser import ConfigParser
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import ROOT

SETUP = ConfigParser(interpolation=None)
SETUP.read(ROOT / "setup.cfg", "utf-8")


def requirements(text: str) -> list[Requirement]:
    return [Requirement(line) for line in text.splitlines() if line]


REQUIRED = requirements(SETUP["options"]["install_requires"])
EXTRAS = {
    name: requirements(text) for name, text in SETUP["options.extras_require"].items()
}
ALL = [*REQUIRED, *(each for extra in EXTRAS.values() for each in extra)]
CONSTRAINTS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
)


def imported() -> set[str]:
    """Return the distributions that the package and its migrations import."""
    modules = set()
    for folder in ("chatstore", "migrations"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    modules |= {each.name.partition(".")[0] for each in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    modules.add(node.module.partition(".")[0])
    # Only type checkers know _typeshed, so no distribution provides it.
    modules -= {*sys.stdlib_module_names, "_typeshed", "chatstore"}
    found = packages_distributions()
    return {canonicalize_name(name) for each in modules for name in found.get(each, [])}


def test_every_import_is_a_declared_requirement():
    declared = {canonicalize_name(each.name) for each in REQUIRED + EXTRAS["sqlite"]}
    assert imported() - declared == set()


@pytest.mark.parametrize("requirement", ALL, ids=lambda each: each.name)
def test_a_requirement_is_bounded_on_both_sides(requirement):
    operators = sorted(each.operator for each in requirement.specifier)
    assert operators == ["<", ">="]


@pytest.mark.parametrize("requirement", ALL, ids=lambda each: each.name)
def test_the_constraints_have_a_release_that_fits(requirement):
    releases = {canonicalize_name(name): each for name, each in CONSTRAINTS.items()}
    assert releases[canonicalize_name(requirement.name)] in requirement.specifier


def test_the_constraints_name_releases_and_nothing_else():
    for name, release in CONSTRAINTS.items():
        assert re.fullmatch(r"[\w.-]+", name)
        assert re.fullmatch(r"[\w.+!]+", release)
