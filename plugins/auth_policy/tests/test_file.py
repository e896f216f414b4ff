"""A policy in a file: read again when it changes, and in force whatever happens to the file."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

import pytest

from pyreg.errors import ConfigurationError
from pyreg.hooks import ANONYMOUS, Access, Decision
from pyreg_auth_policy import Options, PolicyPlugin, plugin
from pyreg_auth_policy.file import MAX_BYTES, PolicyFile, rule_lines

pytestmark = pytest.mark.anyio

PULL = Access("repository", "a", ("pull",))


def written(path: Path, *names: str, age: float = 60.0) -> Path:
    """Put a policy there as editors do, by renaming: anonymous pull from these repositories."""
    new = path.with_suffix(".new")
    new.write_text(
        "rules:\n"
        + "".join(f"  - {{repositories: {each}, allow: pull, to: anonymous}}\n" for each in names)
    )
    then = time.time() - age
    os.utime(new, (then, then))
    new.rename(path)
    return path


def opens(file: PolicyFile, repository: str = "a") -> bool:
    access = Access("repository", repository, ("pull",))
    return file.policy.authorize(ANONYMOUS, access) is Decision.ALLOW


def test_a_changed_file_is_read(tmp_path: Path) -> None:
    file = PolicyFile(str(written(tmp_path / "policy.yml", "a")))
    assert opens(file)
    assert not opens(file, "b")
    before = file.policy
    file.refresh()
    assert file.policy is before
    written(tmp_path / "policy.yml", "b")
    file.refresh()
    assert opens(file, "b")
    assert not opens(file)


def test_a_link_that_is_moved_is_a_change(tmp_path: Path) -> None:
    """As orchestrators do with the files that they mount."""
    link = tmp_path / "policy.yml"
    link.symlink_to(written(tmp_path / "one.yml", "a"))
    file = PolicyFile(str(link))
    written(tmp_path / "two.yml", "b")
    link.unlink()
    link.symlink_to(tmp_path / "two.yml")
    file.refresh()
    assert opens(file, "b")


@pytest.mark.parametrize("broken", ["rules:\n  - {", "rules: []", "", "x" * (MAX_BYTES + 1), None])
def test_a_broken_file_keeps_the_old_policy(
    broken: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path / "policy.yml", "a")
    file = PolicyFile(str(path))
    if broken is None:
        path.unlink()
    else:
        path.write_text(broken)
        os.utime(path, (0, 0))
    for _ in range(3):
        file.refresh()
        assert opens(file)
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == 1, "it is said once"
    assert str(path) in errors[0].getMessage()
    written(path, "b")
    file.refresh()
    assert opens(file, "b")


def test_a_file_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    """Half of a policy could be one without its last rules, which may be denials."""
    path = written(tmp_path / "policy.yml", "a")
    file = PolicyFile(str(path))
    written(path, "b", age=0.0)
    file.refresh()
    assert opens(file)
    os.utime(path, (0, 0))
    file.refresh()
    assert opens(file, "b")


def test_there_is_a_policy_at_every_moment(tmp_path: Path) -> None:
    """While the file is replaced again and again, what all versions say holds."""
    path = written(tmp_path / "policy.yml", "always", "x0")
    file = PolicyFile(str(path))
    done = threading.Event()
    seen: list[bool] = []

    def ask() -> None:
        while not done.is_set():
            seen.append(opens(file, "always") and not opens(file, "never"))

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    for number in range(100):
        written(path, "always", f"x{number}", age=1000.0 - number)
        file.refresh()
        assert opens(file, f"x{number}")
    done.set()
    for thread in asking:
        thread.join()
    assert seen
    assert all(seen)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("rules:\n  - {repositories: [**/x], allow: pull, to: anonymous}", "in quotes"),
        ("rules:\n  - {repositories: [{user}/x], allow: pull, to: anonymous}", "in quotes"),
        ("rules: 1\nrules: 2", "given twice"),
        ("? [a]\n: b", "as a key"),
        ("a: &a [*a]", "too deep|is not YAML"),
        ("- a", "a mapping"),
        ("a: b\n---\nc: d", "is not YAML"),
        ("rules: [" + "[" * 30 + "]" * 30 + "]", "too deep"),
        ("\x00", "is not YAML"),
        (
            "a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
            "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
            "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]",
            "too large",
        ),
    ],
)
def test_junk_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.yml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as found:
        PolicyFile(str(path))
    assert any(each in str(found.value) for each in complaint.split("|")), str(found.value)
    assert str(path) in str(found.value)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        PolicyFile(str(tmp_path / "none.yml"))
    with pytest.raises(ConfigurationError, match="directory"):
        PolicyFile(str(tmp_path))
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        PolicyFile(str(tmp_path / "binary.yml"))


def test_rules_without_effect_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "policy.yml", "a", "a")
    PolicyFile(str(path))
    assert f"Rule 2 ({path}:3) has no effect: rule 1 ({path}:2) says as much" in caplog.messages


def test_the_lines_of_rules(tmp_path: Path) -> None:
    path = written(tmp_path / "policy.yml", "a", "b")
    assert rule_lines(str(path)) == [2, 3]
    assert rule_lines(str(path), "auth", "policy") == []


async def test_a_running_plugin_takes_up_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import anyio

    monkeypatch.setattr(plugin, "INTERVAL", 0.01)
    path = written(tmp_path / "policy.yml", "b")
    running = PolicyPlugin(Options(file=str(path)))
    authorizer = running.pyreg_authorizer()
    await running.pyreg_startup()
    assert await authorizer.authorize(ANONYMOUS, PULL) is Decision.ABSTAIN
    written(path, "a")
    with anyio.fail_after(30):
        while await authorizer.authorize(ANONYMOUS, PULL) is not Decision.ALLOW:
            await anyio.sleep(0.01)
    await running.pyreg_shutdown()
    await running.pyreg_shutdown()
