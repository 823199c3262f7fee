"""The certificates of the TLS tests, as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """Each file has a private key and its certificate, but for those of the two authorities."""

    authority: Path
    server: Path
    client_authority: Path
    client: Path
    # What the servers' client is not: of another name, or of an authority they do not know.
    other_name: Path
    other_authority: Path


def issue_certificates(folder: Path) -> Certificates:
    authority, clients, stranger = (trustme.CA(key_type=trustme.KeyType.ECDSA) for _ in range(3))

    def issued(by: trustme.CA, name: str, file: str) -> Path:
        certificate = by.issue_cert(name, key_type=trustme.KeyType.ECDSA)
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / file)
        return folder / file

    authority.cert_pem.write_to_path(folder / "authority.pem")
    clients.cert_pem.write_to_path(folder / "client-authority.pem")
    return Certificates(
        authority=folder / "authority.pem",
        server=issued(authority, "127.0.0.1", "server.pem"),
        client_authority=folder / "client-authority.pem",
        client=issued(clients, "client.example.com", "client.pem"),
        other_name=issued(clients, "other.example.com", "other-name.pem"),
        other_authority=issued(stranger, "client.example.com", "other-authority.pem"),
    )
