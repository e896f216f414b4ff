"""Finding, loading and refusing plugins: packages are really installed, in a directory."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stevedore import ExtensionManager, _cache

from pyreg import Registry, plugins
from pyreg.errors import PluginError
from pyreg.hooks import API_VERSION, Operation, hookimpl
from pyreg.hooks.spec import HookSpecs
from pyreg_storage_inmemory import InMemoryStorage
from tests.fixtures.distributions import install

Site = Callable[..., None]

GOOD = """
    class Plugin:
        api_version = (1, 0)
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for packages; the caches of stevedore are others, and empty at first."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(_cache._c, "_dir", str(tmp_path / "cache"))
    monkeypatch.setattr(_cache._c, "_internal", {})
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})
    # Python under /tmp has no cache otherwise; the machines of users have.
    monkeypatch.setattr(_cache._c, "_disable_caching", False)
    before = set(sys.modules)
    yield site
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def site(directory: Path) -> Site:
    """Installs a package with one plugin."""

    def add(
        name: str = "thing",
        *,
        source: str = GOOD,
        kind: str = "extension",
        distribution: str = "thing-plugin",
        module: str = "thing_plugin",
        version: str = "1.2.3",
    ) -> None:
        install(
            directory,
            distribution,
            {f"pyreg.{kind}": {name: f"{module}:Plugin"}},
            {module: source},
            version=version,
        )
        importlib.invalidate_caches()

    return add


# -- loading -------------------------------------------------------------------------------


def test_an_installed_plugin_is_loaded_by_its_word(site: Site) -> None:
    site("thing", kind="storage")
    loaded = plugins.load("storage", "thing")
    assert (loaded.__module__, loaded.__name__) == ("thing_plugin", "Plugin")
    with pytest.raises(PluginError):
        plugins.load("auth", "thing")  # the same word of another kind is another plugin


def test_installed_plugins_are_listed_and_never_imported(site: Site) -> None:
    site("thing", source="raise SystemExit('imported, though nobody asked')")
    found = {(item.kind, item.name): item for item in plugins.installed()}
    thing = found["extension", "thing"]
    assert (thing.distribution, thing.version) == ("thing-plugin", "1.2.3")
    assert thing.target == "thing_plugin:Plugin"
    assert ("storage", "inmemory") in found
    plugins.load("storage", "inmemory")
    assert "thing_plugin" not in sys.modules


def test_a_missing_plugin_is_a_friendly_error(site: Site) -> None:
    site("swift", kind="storage", distribution="pyreg-storage-swift", module="swift_plugin")
    storages = [item.name for item in plugins.installed() if item.kind == "storage"]
    with pytest.raises(PluginError) as caught:
        plugins.load("storage", "swiff")
    assert str(caught.value).splitlines() == [
        "the configuration asks for the storage plugin 'swiff', which is not installed.",
        "  install it:     pip install pyreg-storage-swiff",
        f"  installed now:  {', '.join(storages)}",
        "  did you mean:   swift",
    ]
    assert "swift_plugin" not in sys.modules


@pytest.mark.parametrize(
    ("kind", "name", "distribution"),
    [
        ("storage", "s3", "pyreg-storage-s3"),
        ("auth", "token", "pyreg-auth-token"),
        ("auth", "htpasswd", "pyreg-auth-basic"),
        ("events", "webhook", "pyreg-notify-webhook"),
        ("extension", "tls", "pyreg-tls"),
        ("extension", "prometheus", "pyreg-telemetry"),
    ],
)
def test_the_error_names_the_package_to_install(kind: str, name: str, distribution: str) -> None:
    assert plugins.distribution(kind, name) == distribution
    if name not in {item.name for item in plugins.installed() if item.kind == kind}:
        with pytest.raises(PluginError, match=rf"pip install {distribution}\n"):
            plugins.load(kind, name)


def test_the_packages_that_are_named_are_those_that_are_there() -> None:
    ours = [item for item in plugins.installed() if item.distribution.startswith("pyreg-")]
    assert len(ours) > 5
    for item in ours:
        assert plugins.distribution(item.kind, item.name) == item.distribution


def test_no_plugin_of_a_kind_is_said_so(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins.GROUPS, "events", "pyreg.which_nobody_has")
    with pytest.raises(PluginError, match="installed now:  no events plugin"):
        plugins.load("events", "nowhere")


def test_an_error_at_import_is_raised_with_its_cause(site: Site) -> None:
    site("thing", source="import a_module_that_is_not_there")
    with pytest.raises(PluginError) as caught:
        plugins.load("extension", "thing")
    assert str(caught.value) == (
        "the extension plugin 'thing' cannot be loaded from thing_plugin:Plugin: "
        "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"
    )
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize("error", ["AssertionError", "KeyError", "SyntaxError"])
def test_every_kind_of_error_at_import_is_a_plugin_error(site: Site, error: str) -> None:
    site("thing", source=f"raise {error}('broken')")
    with pytest.raises(PluginError, match=f"thing_plugin:Plugin: {error}: '?broken'?$"):
        plugins.load("extension", "thing")


def test_a_class_that_is_not_there_is_a_load_error(site: Site) -> None:
    site("thing", source="class Other: pass")
    with pytest.raises(PluginError, match=r"cannot be loaded from thing_plugin:Plugin: Attribute"):
        plugins.load("extension", "thing")


def test_two_packages_that_claim_one_name_are_both_named(site: Site) -> None:
    site("thing", distribution="one", module="one_module")
    site("thing", distribution="two", module="two_module")
    with pytest.raises(PluginError) as caught:
        plugins.load("extension", "thing")
    assert str(caught.value) == (
        "two packages claim the extension plugin 'thing': one and two; uninstall one of them"
    )
    assert "one_module" not in sys.modules
    assert "two_module" not in sys.modules


def test_a_package_that_is_found_twice_is_one_package(
    site: Site, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site("thing")
    again = tmp_path / "again"
    shutil.copytree(directory, again)
    monkeypatch.syspath_prepend(again)
    assert plugins.load("extension", "thing").__module__ == "thing_plugin"


# -- stevedore's cache ---------------------------------------------------------------------


def test_a_plugin_that_is_newer_than_the_cache_is_found(site: Site) -> None:
    with pytest.raises(PluginError):
        plugins.load("extension", "thing")  # now the cache has no such plugin
    site("thing")
    assert plugins.load("extension", "thing").__module__ == "thing_plugin"


def test_a_plugin_that_has_moved_since_is_found(site: Site, directory: Path) -> None:
    site("thing", module="old_module")
    assert plugins.load("extension", "thing").__module__ == "old_module"
    site("thing", module="new_module")  # an upgrade that keeps the version's directory
    assert plugins.load("extension", "thing").__module__ == "new_module"


def test_a_plugin_whose_old_module_is_gone_is_found(site: Site, directory: Path) -> None:
    site("thing", module="old_module")
    plugins.load("extension", "thing")
    (directory / "old_module.py").unlink()
    del sys.modules["old_module"]
    site("thing", module="new_module")
    assert plugins.load("extension", "thing").__module__ == "new_module"


def test_a_plugin_that_was_uninstalled_is_missing(site: Site, directory: Path) -> None:
    site("thing")
    plugins.load("extension", "thing")
    shutil.rmtree(directory / "thing_plugin-1.2.3.dist-info")
    importlib.invalidate_caches()
    with pytest.raises(PluginError, match="is not installed"):
        plugins.load("extension", "thing")


# -- the version of the contract -----------------------------------------------------------

MAJOR, MINOR = API_VERSION


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        ((MAJOR + 1, 0), "upgrade pyreg"),
        ((MAJOR, MINOR + 1), "upgrade pyreg"),
        ((MAJOR - 1, MINOR), "upgrade the plugin"),
    ],
)
def test_another_version_of_the_contract_is_refused(
    site: Site, version: tuple[int, int], advice: str
) -> None:
    site("thing", source=f"class Plugin: api_version = {version}")
    with pytest.raises(PluginError) as caught:
        plugins.load("extension", "thing")
    assert str(caught.value) == (
        f"the extension plugin 'thing' was written for version {version[0]}.{version[1]} of the "
        f"plugin contract, this is {MAJOR}.{MINOR}; {advice}"
    )


@pytest.mark.parametrize("line", ["pass", "api_version = 1", "api_version = ('1', '0')"])
def test_a_plugin_that_does_not_say_its_version_is_refused(site: Site, line: str) -> None:
    site("thing", source=f"class Plugin: {line}")
    with pytest.raises(PluginError, match="does not say which api_version it was written for"):
        plugins.load("extension", "thing")


# -- registration --------------------------------------------------------------------------


def registry_with(*instances: object) -> Registry:
    return Registry(storage=InMemoryStorage(), plugins=instances)


def test_a_misspelt_hook_is_refused() -> None:
    class Plugin:
        @hookimpl
        async def pyreg_gaurd(self, operation: Operation) -> None: ...

    with pytest.raises(
        PluginError, match=r"Plugin: there is no hook pyreg_gaurd; did you mean pyreg_guard\?"
    ):
        registry_with(Plugin())


def test_a_hook_of_another_name_is_refused() -> None:
    class Plugin:
        @hookimpl
        def something_else_altogether(self) -> None: ...

    with pytest.raises(PluginError, match="there is no hook something_else_altogether"):
        registry_with(Plugin())


def test_a_hook_without_its_mark_is_refused() -> None:
    class Plugin:
        async def pyreg_guard(self, operation: Operation) -> None: ...

    with pytest.raises(PluginError, match="pyreg_guard is not marked with @hookimpl"):
        registry_with(Plugin())


def test_def_and_async_def_are_as_in_the_specification() -> None:
    class Synchronous:
        @hookimpl
        def pyreg_guard(self, operation: Operation) -> None: ...

    class Asynchronous:
        @hookimpl
        async def pyreg_storage(self) -> None: ...

    with pytest.raises(PluginError, match="pyreg_guard must be declared with async def"):
        registry_with(Synchronous())
    with pytest.raises(PluginError, match="pyreg_storage must be declared with def"):
        registry_with(Asynchronous())


def test_an_argument_that_the_specification_does_not_have_is_refused() -> None:
    class Plugin:
        @hookimpl
        async def pyreg_guard(self, operation: Operation, mood: str) -> None: ...

    with pytest.raises(PluginError, match="mood"):
        registry_with(Plugin())


def test_the_error_names_the_plugin() -> None:
    class Plugin:
        @hookimpl
        def pyreg_storag(self) -> None: ...

    with pytest.raises(PluginError, match=rf"{__name__}.*\.Plugin: "):
        registry_with(Plugin())


def test_one_instance_takes_part_once() -> None:
    plugin = type("Plugin", (), {})()
    with pytest.raises(PluginError, match="already"):
        registry_with(plugin, plugin)


def test_an_ordinary_attribute_is_none_of_our_business() -> None:
    class Plugin:
        options: Any = None

        @property
        def costly(self) -> str:
            raise AssertionError("looked at, though it is no hook")

    registry_with(Plugin())


def test_a_registry_without_storage_says_so() -> None:
    with pytest.raises(PluginError, match="no plugin has any"):
        Registry()


def test_registries_have_plugins_of_their_own() -> None:
    class Plugin:
        @hookimpl
        async def pyreg_guard(self, operation: Operation) -> None: ...

    with_plugin, without = registry_with(Plugin()), registry_with()
    assert with_plugin.participants._guards
    assert not without.participants._guards


def test_every_hook_is_documented() -> None:
    for name in dir(HookSpecs):
        if name.startswith("pyreg_"):
            assert (getattr(HookSpecs, name).__doc__ or "").strip(), name
