"""The lines by which a registry and its clients come to use certificates of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def text(directory: Path, hosts: Sequence[str], clients: Sequence[str], port: int) -> str:
    """What to do next.

    Args:
        directory: Where the files lie.
        hosts: The server's names; none if only clients got certificates.
        clients: Names of clients.
        port: Where the registry listens.
    """
    address = f"{_bracketed(hosts[0])}:{port}" if hosts else f"HOST:{port}"
    parts = []
    if hosts:
        parts.append(_registry(directory, clients, port))
    parts.append(_clients(directory, address, clients))
    return "\n" + "\n".join(parts)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _registry(directory: Path, clients: Sequence[str], port: int) -> str:
    lines = [
        "# config.yml of the registry",
        "http:",
        f"  addr: :{port}",
        "  tls:",
        f"    certificate: {directory}/server.pem",
        f"    key: {directory}/server.key",
    ]
    if clients:
        lines.append(f"    clientcas: [{directory}/ca.pem]")
    return "\n".join(lines) + "\n"


def _clients(directory: Path, address: str, clients: Sequence[str]) -> str:
    ca = f"{directory}/ca.pem"
    name = clients[0] if clients else ""
    certificate, key = f"{directory}/{name}.pem", f"{directory}/{name}.key"

    def certs_d(program: str, parent: str) -> list[str]:
        place = f"{parent}/certs.d/{address}"
        lines = [f"# {program}", f"mkdir -p {place}", f"cp {ca} {place}/ca.crt"]
        if name:
            lines += [f"cp {certificate} {place}/client.cert", f"cp {key} {place}/client.key"]
        return [*lines, ""]

    place = f"/etc/containerd/certs.d/{address}"
    hosts_toml = [
        f'server = "https://{address}"',
        "",
        f'[host."https://{address}"]',
        f'  ca = "{place}/ca.crt"',
    ]
    copies = [f"mkdir -p {place}", f"cp {ca} {place}/ca.crt"]
    if name:
        copies += [f"cp {certificate} {place}/client.cert", f"cp {key} {place}/client.key"]
        hosts_toml.append(f'  client = [["{place}/client.cert", "{place}/client.key"]]')
    curl = f"curl --cacert {ca}"
    if name:
        curl += f" --cert {certificate} --key {key}"
    return "\n".join(
        [
            *certs_d("docker", "/etc/docker"),
            *certs_d("podman, buildah and skopeo", "/etc/containers"),
            '# containerd, with `config_path = "/etc/containerd/certs.d"`',
            *copies,
            f"cat > {place}/hosts.toml <<END",
            *hosts_toml,
            "END",
            "",
            "# curl",
            f"{curl} https://{address}/v2/",
            "",
        ]
    )
