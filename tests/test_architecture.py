"""The rules that keep the house in order, read off the source itself."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.fixtures.project import CORE, PLUGINS, ROOT

PLUGIN_PACKAGES = {path.name for plugin in PLUGINS for path in (plugin / "src").iterdir()}
PACKAGES = [CORE, *(path for plugin in PLUGINS for path in (plugin / "src").iterdir())]

LINES = 400
LONGER: dict[str, str] = {}
"""Files of more than LINES lines, each with the reason."""

VAGUE = {"utils", "util", "helpers", "helper", "common", "base", "manager", "managers", "misc"}

LOWER = ("pyreg.errors", "pyreg.hooks", "pyreg.content", "pyreg.api")
"""The layers whose order is fixed, lowest first: each imports the ones before it, and itself."""

TOP = ("pyreg.app", "pyreg.asgi", "pyreg.assembly", "pyreg.server", "pyreg.cli")
"""What puts the parts together; nothing in LOWER knows of it."""

FOR_PLUGINS = ("pyreg.hooks", "pyreg.errors", "pyreg.testing")


def modules(package: Path) -> Iterator[tuple[str, Path]]:
    """The dotted name and the path of every module of a package."""
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


@cache
def imports(path: Path, *, types: bool = True) -> frozenset[str]:
    """The dotted names that a module imports, in functions too.

    `from a import b` counts as `a.b` if that is a module of the tree, and as `a` otherwise.

    Args:
        path: Which module.
        types: Count what only type checkers import as well.
    """
    found: set[str] = set()
    for node in nodes(ast.parse(path.read_text()), types):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are written out in full"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in ALL_MODULES else node.module)
    return frozenset(found)


def nodes(tree: ast.AST, types: bool) -> Iterator[ast.AST]:
    """Every node below one; without the bodies of `if TYPE_CHECKING:` unless `types`."""
    for child in ast.iter_child_nodes(tree):
        guarded = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if types or not guarded:
            yield child
            yield from nodes(child, types)


def within(name: str, package: str) -> bool:
    """True if a dotted name is a package or something in it."""
    return name == package or name.startswith(f"{package}.")


ALL_MODULES = {name: path for package in PACKAGES for name, path in modules(package)}
CORE_MODULES = {name: path for name, path in ALL_MODULES.items() if within(name, "pyreg")}


@pytest.mark.parametrize("name", CORE_MODULES)
def test_imports_run_one_way(name: str) -> None:
    rank = next((at for at, layer in enumerate(LOWER) if within(name, layer)), None)
    for imported in imports(CORE_MODULES[name]):
        assert not any(within(imported, plugin) for plugin in PLUGIN_PACKAGES), (
            f"{name} imports the plugin {imported}"
        )
        if rank is None:
            continue
        allowed = LOWER[: rank + 1]
        above = (*LOWER[rank + 1 :], *TOP)
        assert not any(within(imported, layer) for layer in above), (
            f"{name} imports {imported}: {allowed[-1]} may import {', '.join(allowed)}"
        )


@pytest.mark.parametrize("name", [name for name in CORE_MODULES if within(name, "pyreg.errors")])
def test_errors_know_nothing(name: str) -> None:
    assert not {each for each in imports(CORE_MODULES[name]) if within(each, "pyreg")}


def test_hooks_import_errors_only() -> None:
    for name, path in CORE_MODULES.items():
        if within(name, "pyreg.hooks"):
            inner = {each for each in imports(path) if within(each, "pyreg")}
            wrong = {each for each in inner if not within(each, "pyreg.hooks")} - {"pyreg.errors"}
            assert not wrong, f"{name} imports {wrong}"


def test_nothing_but_the_top_and_the_public_names_knows_the_application() -> None:
    for name, path in CORE_MODULES.items():
        if name != "pyreg" and not any(within(name, top) for top in (*TOP, "pyreg.testing")):
            known = {each for each in imports(path) if within(each, "pyreg.app")}
            assert not known, f"{name} imports {known}"


def test_there_are_no_circles() -> None:
    """Imports in functions are as bad as any; only names for type checkers may go round."""
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"a circle of imports: {' -> '.join((*trail, name))}"
        if name in done:
            return
        for imported in imports(ALL_MODULES[name], types=False):
            if imported in ALL_MODULES and imported != name:
                visit(imported, (*trail, name))
        done.add(name)

    for name in ALL_MODULES:
        visit(name, ())


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_imports_the_contract_only(plugin: Path) -> None:
    [package] = (plugin / "src").iterdir()
    assert package.name == f"pyreg_{plugin.name}"
    for name, path in modules(package):
        for imported in imports(path):
            others = PLUGIN_PACKAGES - {package.name}
            assert not any(within(imported, other) for other in others), f"{name}: {imported}"
            if within(imported, "pyreg"):
                assert any(within(imported, part) for part in FOR_PLUGINS), (
                    f"{name} imports {imported}; a plugin may import {', '.join(FOR_PLUGINS)}"
                )


@pytest.mark.parametrize("name", ALL_MODULES)
def test_names_say_what_is_inside(name: str) -> None:
    assert not VAGUE & set(name.split(".")), f"{name} could hold anything"


def test_files_are_one_idea() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in ALL_MODULES.values()
    }
    longer = {path: lines for path, lines in lengths.items() if lines > LINES}
    assert set(longer) == set(LONGER), f"longer than {LINES} lines: {longer}"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_packages_are_typed(package: Path) -> None:
    assert (package / "py.typed").is_file()


def tracked() -> list[Path]:
    """Every file that belongs to the project: under version control, or about to be."""
    listed = subprocess.run(
        # The directory may belong to another user, as in a container that mounts it.
        [
            "git",
            "-c",
            "safe.directory=*",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    return [ROOT / name for name in sorted(set(listed.split("\0")) - {""})]


# Put together from parts, so that this file is not found itself.
FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w.$}{-])/(?:ro" + r"ot/\w|wo" + r"rk/(?:main|shared))",
    "an unfinished thought": r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b",
    "a package index's host name": r"(?:pypi\.|pythonhosted\.|test\.pypi\.)" + r"(?:org|io)\b",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_tracked_files_have_none_of(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue  # a picture, or a file that was just deleted
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert not found, f"{what}:\n" + "\n".join(found)


@pytest.mark.parametrize("where", [ROOT, *PLUGINS], ids=lambda path: path.name)
def test_each_distribution_has_its_papers(where: Path) -> None:
    for paper in ("README.md", "CHANGELOG.md"):
        assert (where / paper).is_file(), f"{where.name} has no {paper}"
        assert (where / paper).read_text().strip()
