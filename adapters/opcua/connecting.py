# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportPrivateImportUsage=false, reportArgumentType=false
"""A line to an OPC UA server: encrypted, and only to the server whose certificate is pinned.

The pin is checked on what the server shows before anything is said to it. The channel is then set up with the
key of that certificate, so only who holds its private key can answer.
"""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_session import UaSession
from asyncua.common.utils import ServiceError
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import CertProperties
from cryptography.exceptions import InvalidSignature

from adapters.opcua.certificates import fingerprint, first_of_chain, own_identity
from ontology.errors import InputError, NotFoundError, Place

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from adapters.opcua.config import Line

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SESSION_MS = 120_000
POLICIES = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128Sha256RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256Sha256RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
MODES = {
    "sign_and_encrypt": ua.MessageSecurityMode.SignAndEncrypt,
    "sign": ua.MessageSecurityMode.Sign,
}
# What asyncua raises where a server is away, refuses or answers nonsense.
LINE_ERRORS = (OSError, TimeoutError, ua.UaError, ServiceError, InvalidSignature)


@contextlib.asynccontextmanager
async def connected(line: Line, session: type[UaSession] = UaSession) -> AsyncGenerator[Client]:
    """An open session, of this class. Raises InputError OPCUA_UNPINNED, OPCUA_ENDPOINT, OPCUA_CERTIFICATE,
    OPCUA_PASSWORD, or one of LINE_ERRORS."""
    client = Client(line.url, timeout=line.request_timeout_s, watchdog_intervall=line.request_timeout_s)
    client.uaclient.session = session(client.uaclient)
    client.session_timeout = SESSION_MS
    client.name = client.description = "twinmesh"
    if line.username is not None:
        client.set_user(line.username)
        client.set_password(_password(line))
    if line.security != "none":
        await _secure(client, line)
    await client.connect()
    try:
        yield client
    finally:
        with contextlib.suppress(*LINE_ERRORS):
            await client.disconnect()


def _password(line: Line) -> str:
    if line.password_env is None:
        return ""
    if line.password_env not in os.environ:
        raise InputError(f"environment variable {line.password_env} is not set", code="OPCUA_PASSWORD")
    return os.environ[line.password_env]


async def shown_certificate(line: Line) -> bytes:
    """The certificate (DER) that the server shows for the wanted policy. InputError OPCUA_ENDPOINT."""
    client = Client(line.url, timeout=line.request_timeout_s)
    policy, mode = POLICIES[line.security], MODES[line.mode]
    endpoints = await client.connect_and_get_server_endpoints()
    for endpoint in endpoints:
        if endpoint.SecurityPolicyUri == policy.URI and endpoint.SecurityMode == mode:
            return first_of_chain(endpoint.ServerCertificate or b"")
    offered = sorted(
        {f"{str(e.SecurityPolicyUri).rpartition('#')[2]} {e.SecurityMode.name}" for e in endpoints}
    )
    raise InputError(
        f"{line.url} does not offer {line.security} {line.mode}",
        code="OPCUA_ENDPOINT",
        hint=f"it offers {', '.join(offered[:10])}",
    )


async def _secure(client: Client, line: Line) -> None:
    shown = await shown_certificate(line)
    name = fingerprint(shown)
    if name != line.server_fingerprint:
        told = "no certificate is pinned" if line.server_fingerprint is None else "this one is not pinned"
        hint = f'compare with its operator, then set server_fingerprint = "{name}"'
        raise InputError(f"{line.url} shows the certificate {name}; {told}", code="OPCUA_UNPINNED", hint=hint)
    identity = own_identity(line.certificate, line.private_key)
    client.application_uri = identity.application_uri
    await client.set_security(
        POLICIES[line.security],
        CertProperties(identity.certificate, "der"),
        CertProperties(identity.private_key, "pem"),
        server_certificate=CertProperties(shown, "der"),
        mode=MODES[line.mode],
    )


def node_id(text: str, namespaces: Sequence[str]) -> ua.NodeId:
    """The node id behind a text, `nsu=URI` looked up in the server's namespaces. NotFoundError OPCUA_NODE."""
    if text.startswith("nsu="):
        uri, _, rest = text[4:].partition(";")
        if uri not in namespaces:
            raise NotFoundError(
                f"the server has no namespace {uri!r}", code="OPCUA_NODE", place=Place(item=text)
            )
        text = f"ns={list(namespaces).index(uri)};{rest}"
    try:
        return ua.NodeId.from_string(text)
    except (ua.UaError, ValueError) as error:
        raise NotFoundError(f"{text!r} is no node id", code="OPCUA_NODE", place=Place(item=text)) from error


def time_ns_of(stamp: datetime) -> int:
    """Unix nanoseconds of a time of OPC UA, which is UTC whether it says so or not."""
    since = (stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)) - EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
