"""Built wheels, installed into empty virtual environments with nothing but their dependencies."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.client import Client
from tests.fixtures.project import PLUGINS, ROOT
from tests.fixtures.wire import Wire
from tests.servers.registries import configuration, start_pyreg

CORE_NEEDS = {"click", "hypercorn", "pluggy", "pydantic", "quart", "ruamel-yaml", "stevedore"}
"""What the core may depend on. Think long before you add to it."""

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
STORAGE = [path for path in PLUGINS if path.name.startswith("storage_")]

IMPORT_ALL = """
import importlib, json, pkgutil, sys
before = set(sys.modules)
import pyreg
for module in pkgutil.walk_packages(pyreg.__path__, "pyreg."):
    if not module.name.startswith(SKIPPED):
        importlib.import_module(module.name)
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""

CLOSURE = """
import json, re
from importlib import metadata
def normal(name): return re.sub(r"[-_.]+", "-", name).lower()
distributions = {normal(d.metadata["Name"]): d for d in metadata.distributions()}
def needs(name):
    for line in distributions[name].requires or []:
        if "extra ==" not in line:
            yield normal(re.match(r"[A-Za-z0-9._-]+", line).group())
reached, todo = set(), ["pyreg"]
while todo:
    name = todo.pop()
    if name in distributions and name not in reached:
        reached.add(name)
        todo.extend(needs(name))
owners = metadata.packages_distributions()
print(json.dumps({
    "reached": sorted(reached),
    "owners": {package: sorted(map(normal, names)) for package, names in owners.items()},
}))
"""


def normal(name: str) -> str:
    """A distribution's name as dependencies are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def run(*argv: str | Path) -> str:
    """Run a command that must succeed. Returns what it printed."""
    done = subprocess.run([str(each) for each in argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheels of core and of every plugin."""
    dist = tmp_path_factory.mktemp("dist")
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", dist, ROOT, *PLUGINS)
    return dist


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    """The interpreter of an environment that has the core alone."""
    return environment(tmp_path_factory.mktemp("bare"), wheels, "pyreg")


def environment(directory: Path, wheels: Path, *packages: str) -> Path:
    """Make an environment with the wheels of these packages. Returns its interpreter."""
    run(sys.executable, "-m", "venv", "--without-pip", directory)
    python = directory / "bin" / "python"
    run(
        *PIP, "--python", python, "install", "--quiet",
        "--constraint", ROOT / "constraints.txt",
        *(wheel_of(wheels, package) for package in packages),
    )  # fmt: skip
    return python


def wheel_of(wheels: Path, package: str) -> Path:
    """The wheel that holds a package."""
    [path] = wheels.glob(f"{package}-[0-9]*.whl")
    return path


@pytest.mark.parametrize("package", ["pyreg", *(f"pyreg_{path.name}" for path in PLUGINS)])
def test_a_wheel_holds_its_package_and_nothing_else(wheels: Path, package: str) -> None:
    with zipfile.ZipFile(wheel_of(wheels, package)) as wheel:
        names = wheel.namelist()
        assert f"{package}/py.typed" in names
        tops = {name.partition("/")[0] for name in names}
        assert {top for top in tops if not top.endswith(".dist-info")} == {package}
        source = ROOT / "src" if package == "pyreg" else ROOT / "plugins" / package[6:] / "src"
        expected = {str(path.relative_to(source)) for path in (source / package).rglob("*.py")}
        assert {name for name in names if name.endswith(".py")} == expected
        assert not [
            name for name in names if re.search(r"(^|/)(tests?|bench|conftest\.py)(/|$)", name)
        ]


def test_core_depends_on_few(wheels: Path) -> None:
    with zipfile.ZipFile(wheel_of(wheels, "pyreg")) as wheel:
        [path] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = HeaderParser().parsestr(wheel.read(path).decode())
    always = {
        normal(re.split(r"[^A-Za-z0-9._-]", line)[0])
        for line in metadata.get_all("Requires-Dist", [])
        if "extra ==" not in line
    }
    assert always == CORE_NEEDS


def test_core_imports_nothing_that_it_does_not_depend_on(bare: Path) -> None:
    skipped = ("pyreg.testing",)  # the test kit needs pytest, which plugin authors have
    imported = set(json.loads(run(bare, "-c", f"SKIPPED = {skipped!r}\n{IMPORT_ALL}")))
    known = json.loads(run(bare, "-c", CLOSURE))
    owners = {package: set(names) for package, names in known["owners"].items()}
    foreign = {package for package in imported if package in owners}
    assert {"quart", "pyreg"} <= foreign
    for package in foreign:
        assert owners[package] & set(known["reached"]), f"{package} comes from {owners[package]}"


def test_the_core_alone_says_what_is_missing(bare: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text(json.dumps(configuration(tmp_path / "data", "127.0.0.1:0")))
    pyreg = Client([str(bare.parent / "pyreg")], tmp_path)
    for arguments in (["serve", str(config)], ["serve"]):
        complaint = pyreg.refused(*arguments)
        assert "pip install pyreg-storage-filesystem" in complaint
        assert "Traceback" not in complaint
        assert len(complaint.splitlines()) <= 12, complaint


@pytest.mark.parametrize("plugin", STORAGE, ids=lambda path: path.name)
def test_core_and_one_plugin_serve(plugin: Path, wheels: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv", wheels, "pyreg", f"pyreg_{plugin.name}")
    driver = plugin.name.removeprefix("storage_")
    change: dict[str, Any] = {} if driver == "filesystem" else {"filesystem": None, driver: {}}
    registry = start_pyreg(
        tmp_path / "serve",
        config={"storage": change},
        # What is in memory is not shared between processes.
        workers=1 if driver == "inmemory" else 2,
        python=str(python),
    )
    with Wire(registry.url) as wire:
        digest = wire.put_blob("wheel/test", b"through a wheel")
        assert wire.blob("wheel/test", digest) == b"through a wheel"
    registry.stop()
    listed = run(python.parent / "pyreg", "plugins")
    assert driver in listed
    assert f"pyreg-storage-{driver}" in listed
