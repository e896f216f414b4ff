"""An issuer of ID tokens, as CI systems have one: `oauth2-mock-server` with claims as asked for."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.fixtures.programs import absent
from tests.fixtures.project import ROOT
from tests.servers.process import Process, answers, free_port, until

PACKAGE = "oauth2-mock-server@9.3.0"
MODULE = ROOT / ".node/node_modules/oauth2-mock-server/dist/index.mjs"

# The program of the package cannot be told which claims a token shall have, nor to take another
# key while it runs; the module can. A token is asked for by a refresh, the shortest way to one.
_PROGRAM = """\
import { webcrypto } from "node:crypto";
globalThis.crypto ??= webcrypto;  // Node.js 18, which Debian 12 has, does not have it there
const { OAuth2Server } = await import(%(module)s);
const server = new OAuth2Server();
await server.issuer.keys.generate("RS256");
let kid = server.issuer.keys.get().kid;
server.service.on("beforeTokenSigning", (token, request) => {
  Object.assign(token.payload, JSON.parse(request.body.claims ?? "{}"));
});
const build = server.issuer.buildToken.bind(server.issuer);
server.issuer.buildToken = (options) => build({ ...options, kid });
process.on("SIGUSR2", async () => {
  kid = (await server.issuer.keys.generate("RS256")).kid;
  console.log("signing with " + kid);
});
process.on("SIGTERM", async () => { await server.stop(); process.exit(0); });
await server.start(%(port)d, "127.0.0.1");
server.issuer.url = %(issuer)s;
"""


@dataclass(frozen=True)
class OidcIssuer:
    """An issuer that answers.

    Attributes:
        url: Its address, the `iss` of its tokens.
        process: Its process.
    """

    url: str
    process: Process

    def token(self, audience: str | list[str], **claims: Any) -> str:
        """An ID token with these claims; its `sub` is `johndoe` unless they say otherwise."""
        answer = httpx.post(
            f"{self.url}/token",
            data={
                "grant_type": "refresh_token",
                "client_id": "ci",
                "claims": json.dumps({"aud": audience, **claims}),
            },
            trust_env=False,
        )
        answer.raise_for_status()
        token: str = answer.json()["id_token"]
        return token

    def rotate(self) -> None:
        """Sign with a new key from now on; the old one stays published."""
        assert self.process.popen is not None, "the issuer was not started"
        before = self.process.log().count("signing with")
        self.process.popen.send_signal(signal.SIGUSR2)
        until(
            lambda: self.process.log().count("signing with") > before,
            seconds=30.0,
            what="the issuer's new key",
        )


def start_oidc_issuer(
    directory: Path, *, port: int | None = None, env: Mapping[str, str] | None = None
) -> OidcIssuer:
    """Start an issuer, or end the test if there is none (see `tests.fixtures.programs.absent`).

    Args:
        directory: For its program and log.
        port: Of 127.0.0.1; a free one unless told. A second start on the same port is the same
            issuer with other keys.
        env: Added to the environment.
    """
    node = shutil.which("node")
    if node is None:
        absent("node is not installed: apt-get install --no-install-recommends nodejs")
    if not MODULE.is_file():
        absent(f"{PACKAGE} is not installed: npm install --prefix .node {PACKAGE}")
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "issuer.mjs"
    program.write_text(
        _PROGRAM % {"module": json.dumps(MODULE.as_uri()), "port": port, "issuer": json.dumps(url)}
    )
    process = Process(
        "oidc-issuer",
        [node, str(program)],
        directory,
        ready=lambda: answers(f"{url}/.well-known/openid-configuration"),
        env=env,
    )
    process.start()
    return OidcIssuer(url, process)
