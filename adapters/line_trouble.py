"""Why a line to a broker is down: a stable code in front, since each wants another remedy.

`LINE_LOGIN` name, password or rights; `LINE_CERTIFICATE` the broker's certificate (expired, of another
authority, for another host); `LINE_TLS` another trouble of the encryption; `LINE_NO_ANSWER` nobody there;
`LINE_SUBSCRIPTION` the broker lets us in but does not give us what we ask for; `LINE_LOST` it was up.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from ontology.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

_CAUSES_MAX: Final = 10
_LOGIN_WORDS: Final = ("auth", "login", "password", "access_refused", "identifier")


def failed_to_connect(address: str, error: BaseException) -> str:
    """An attempt that an exception ended; what it was caused by counts as well."""
    chain = list(_chain(error))
    certificate = next((each for each in chain if isinstance(each, ssl.SSLCertVerificationError)), None)
    if certificate is not None:
        reason = certificate.verify_message or str(certificate)
        return refused_certificate(address, reason)
    if any(isinstance(each, ssl.SSLError) for each in chain):
        return not_encrypted(address, error)
    said = f"{type(error).__name__} {error}".casefold()
    if any(word in said for word in _LOGIN_WORDS):
        return refused_us(address, error)
    return no_answer(address, str(error) or type(error).__name__)


def refused_certificate(address: str, reason: object) -> str:
    return _told(Problem("LINE_CERTIFICATE", f"the certificate of {address} is not accepted: {reason}"))


def not_encrypted(address: str, reason: object) -> str:
    return _told(Problem("LINE_TLS", f"no encrypted line to {address}: {reason}"))


def no_answer(address: str, reason: object) -> str:
    return _told(Problem("LINE_NO_ANSWER", f"no answer from {address}: {reason}"))


def refused_us(address: str, reason: object) -> str:
    return _told(Problem("LINE_LOGIN", f"{address} does not let us in: {reason}"))


def refused_subscription(address: str, reason: object) -> str:
    return _told(Problem("LINE_SUBSCRIPTION", f"{address} refuses a subscription: {reason}"))


def lost(reason: object) -> str:
    return _told(Problem("LINE_LOST", f"disconnected: {reason}"))


def _told(problem: Problem) -> str:
    return f"{problem.code}: {problem.message}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from."""
    found: BaseException | None = error
    for _ in range(_CAUSES_MAX):
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__
