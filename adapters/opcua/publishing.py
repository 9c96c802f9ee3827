# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportPrivateImportUsage=false, reportArgumentType=false
"""A session whose publish responses are read as columns."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.client.ua_session import UaSession
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaStructParsingError

from adapters.opcua.notifications import DECODING_ERRORS, read_response

if TYPE_CHECKING:
    from collections.abc import Sequence


class ColumnsSession(UaSession):
    """asyncua's session but for one method: `publish` sends a publish request and reads the response.

    asyncua takes 6 to 12 us for each notification in it. Whatever else there is to a subscription (when to
    ask, what to acknowledge, what to do about errors) is asyncua's as it was. That asyncua still calls
    `publish` shows in `OpcuaHealth.in_columns`, which the tests with a real server look at.
    """

    async def publish(self, acks: Sequence[ua.SubscriptionAcknowledgement]) -> ua.PublishResponse:
        """The next response; NotificationData holds Changes where it was read here. UaStructParsingError."""
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = list(acks)
        data = await self._send_request(request, timeout=0)
        response = read_response(bytes(data), time.time_ns())
        if response is not None:
            return response
        try:
            return struct_from_binary(ua.PublishResponse, data)
        except DECODING_ERRORS as error:
            self.logger.exception("a publish response cannot be read")
            raise UaStructParsingError from error
