"""From a commit to a deployment: the tutorial, with everything in it being real.

Its blocks say what is typed: each `sh` block is run, and the `text` block behind one is what it
printed. Builder and deployer have image stores of their own, so that the only way for an image
leads through the registry.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.docs.pages import DOCS, Block, read
from tests.fixtures.client import Client
from tests.fixtures.programs import absent, require
from tests.fixtures.wire import sha256
from tests.servers.process import Process, answers, free_port, until

PAGE = read(DOCS / "tutorials" / "from-commit-to-deployment.md")
PATIENCE = 120.0
"""Seconds that one block may take."""

BASE = "docker.io/library/busybox:latest"
HTTPD = r"""
/* As much of busybox's httpd as the tutorial uses: `httpd -f -p HOST:PORT -h DIRECTORY`. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct sockaddr_in place = {.sin_family = AF_INET};
    int option, yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    while ((option = getopt(argc, argv, "fp:h:")) != -1) {
        if (option == 'h' && chdir(optarg) != 0) return 1;
        if (option == 'p') {
            char *port = strrchr(optarg, ':');
            *port = '\0';
            place.sin_port = htons(atoi(port + 1));
            place.sin_addr.s_addr = inet_addr(optarg);
        }
    }
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&place, sizeof place) || listen(listener, 8)) return 1;
    for (;;) {
        char request[4096], page[4096];
        int client = accept(listener, NULL, NULL);
        FILE *file = fopen("index.html", "r");
        if (file == NULL || read(client, request, sizeof request) < 0) return 1;
        size_t size = fread(page, 1, sizeof page, file);
        dprintf(client, "HTTP/1.0 200 OK\r\nContent-Length: %zu\r\n\r\n", size);
        if (write(client, page, size) < 0) return 1;
        fclose(file);
        close(client);
    }
}
"""


class Story:
    """The tutorial, told block by block.

    Args:
        directory: Where its reader works.
        builder: Environment of everything that is not the receiver's.
        deployer: Environment of the receiver.
    """

    def __init__(self, directory: Path, builder: dict[str, str], deployer: dict[str, str]) -> None:
        self._blocks = list(PAGE.blocks)
        self._directory = directory
        self._builder = builder
        self._deployer = deployer
        self._ports = {port: str(free_port()) for port in ("5000", "8000", "8080")}
        self._printed = ""
        self.registry = self._process("pyreg", "pyreg serve config.yml", "5000", "/v2/", builder)
        self.receiver = self._process(
            "receiver", f"{sys.executable} receiver.py", "8000", "", deployer
        )

    def tell(self, before: str | None = None) -> None:
        """Go on up to the block that has a text in it, or to the end."""
        while self._blocks and (before is None or before not in self._blocks[0].text):
            self._tell(self._blocks.pop(0))
        assert before is None or self._blocks, f"the page has no further block with {before!r}"

    def push_base(self, name: str) -> None:
        """Push the base image under a name, as somebody else's."""
        where = f"docker://127.0.0.1:{self._ports['5000']}/{name}"
        self._run(f"buildah push --quiet --tls-verify=false {BASE} {where}", name)

    @property
    def pushed(self) -> str:
        """The digest that the registry has for `latest`."""
        url = f"http://127.0.0.1:{self._ports['5000']}/v2/team/site/manifests/latest"
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        answer = httpx.get(url, headers=accept, trust_env=False).raise_for_status()
        return sha256(answer.content)

    @property
    def deployed(self) -> list[str]:
        """The digests that the receiver was told of, without repetitions."""
        return list(dict.fromkeys(re.findall(r"^deployed (\S+)$", self.receiver.log(), re.M)))

    def wait_for(self, *digests: str) -> None:
        """Wait until exactly these were deployed; the page is there a moment before it is told."""
        until(lambda: self.deployed == list(digests), seconds=90, what="the deployment")

    def settle(self) -> None:
        """Wait until the receiver, which does one thing at a time, has done what it is at."""
        url = f"http://127.0.0.1:{self._ports['8000']}/"
        httpx.post(url, content=b"", timeout=PATIENCE, trust_env=False)

    @property
    def page(self) -> str:
        """What the site shows."""
        return httpx.get(f"http://127.0.0.1:{self._ports['8080']}/", trust_env=False).text

    def _tell(self, block: Block) -> None:
        place = f"{PAGE.name}:{block.line}"
        text = block.text
        for port, free in self._ports.items():
            text = re.sub(rf"(?<![0-9]){port}(?![0-9])", free, text)
        if block.title:
            path = self._directory / block.title
            path.write_text(text)
        elif block.language == "sh":
            self._printed = self._run(text, place)
        elif self._printed:
            assert block.language == "text", place
            pattern = re.escape(text).replace(re.escape("..."), ".*")
            assert re.fullmatch(pattern, self._printed), f"{place}:\n{self._printed}"
            self._printed = ""

    def _run(self, text: str, place: str) -> str:
        if text.startswith("pip install "):
            return ""  # it is what these tests run with
        if text.startswith("pyreg serve "):
            self.registry.start()
            return ""
        if text.startswith("python3 receiver.py"):
            self.receiver.start()
            return ""
        env = self._deployer if text.startswith("podman ") else self._builder
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self._directory,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{place}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _process(
        self, name: str, command: str, port: str, path: str, env: dict[str, str]
    ) -> Process:
        free = int(self._ports[port])

        def listens() -> bool:
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", free)) == 0

        url = f"http://127.0.0.1:{free}{path}"
        ready: Callable[[], bool] = (lambda: answers(url)) if path else listens
        return Process(name, command.split(), self._directory, ready=ready, env=env)


@pytest.fixture
def story(short_dir: Path, buildah: Client, podman: Client, tmp_path: Path) -> Iterator[Story]:
    """The tutorial, not begun yet, with its base image in the builder's store."""
    for program in ("curl", "gcc", "git", "openssl"):
        require(program)
    engine = tmp_path / "containers.conf"
    # podman would raise limits, which it may not everywhere.
    engine.write_text(
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n'
    )
    who = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", "Ada"), ("EMAIL", "ada@example.com"))
    }
    common = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CONTAINERS_CONF": str(engine),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "PYTHONUNBUFFERED": "1",
        **who,
    }
    builder = {**buildah.env, **common}
    deployer = {**podman.env, **common}
    _base_image(tmp_path, buildah, Client(podman.argv, tmp_path, deployer))
    told = Story(short_dir, builder, deployer)
    yield told
    if told.registry.alive:
        told.registry.kill()
    if told.receiver.alive:
        with contextlib.suppress(httpx.HTTPError):  # what a receiver that fails may answer
            told.settle()
        told.receiver.kill()
    podman("rm", "--force", "--ignore", "site")


def _base_image(directory: Path, buildah: Client, podman: Client) -> None:
    """Give the builder the image that the tutorial's own is built on.

    Ends the test (see `absent`) where podman cannot run it, as inside of many containers.
    """
    source, program = directory / "httpd.c", directory / "httpd"
    source.write_text(HTTPD)
    subprocess.run(["gcc", "-O1", "-static", "-o", program, source], check=True)
    container = buildah("from", "scratch").strip()
    buildah("copy", "--chmod", "755", container, program, "/bin/httpd")
    buildah("config", "--cmd", "httpd -f -h /", container)
    buildah("commit", "--quiet", "--rm", container, BASE)

    rootfs = directory / "rootfs.tar"
    with tarfile.open(rootfs, "w") as archive:
        archive.add(program, "httpd")
    podman("import", "--quiet", rootfs, "localhost/probe")
    probe = ("run", "--rm", "--network", "host", "localhost/probe", "/httpd", "-h", "/nowhere")
    done = podman.run(*probe)
    if done.returncode != 1:  # which is what the program itself says
        absent(f"podman cannot run containers here: {done.stderr}")


def test_the_tutorial(story: Story) -> None:
    story.tell(before="The second")
    first = story.pushed
    story.wait_for(first)

    story.tell(before="The third")
    second = story.pushed
    story.wait_for(first, second)

    story.receiver.stop()  # "Press Ctrl-C in the terminal of `receiver.py`"
    story.tell(before="python3 receiver.py")
    third = story.pushed
    assert third not in (first, second)
    assert story.deployed == [first, second]

    story.tell(before="podman rm")
    story.wait_for(first, second, third)
    assert story.registry.stop() == 0
    story.receiver.stop()
    story.tell()


def test_an_event_outlives_the_registry_that_recorded_it(story: Story) -> None:
    """The push is acknowledged, and then everybody but the storage is gone at once."""
    story.tell(before="The third")
    story.settle()
    before = story.deployed
    story.receiver.stop()
    story.tell(before="python3 receiver.py")
    story.registry.kill()

    story.registry.start()
    pushed = story.pushed
    assert story.deployed == before
    story.receiver.start()
    story.wait_for(*before, pushed)
    until(lambda: "third" in story.page, seconds=10, what="the third page")
    assert story.registry.stop() == 0


def test_what_is_pushed_elsewhere_deploys_nothing(story: Story) -> None:
    """Only an event of the repository and the tag does; the next one shows that none came."""
    story.tell(before="The second")
    story.settle()
    before = story.deployed
    story.push_base("team/other:latest")
    story.push_base("team/site:v2")
    story.tell(before="The third")
    story.wait_for(*before, story.pushed)
    assert story.registry.stop() == 0
