"""A device in a process of its own: takes set-points by MQTT, answers, and says back what they are now.

python -m bench.live.device PORT      until its standard input is closed; then it says how many it executed
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def main(port: int) -> None:
    client = Client(CallbackAPIVersion.VERSION2, client_id="device", protocol=MQTTProtocolVersion.MQTTv5)
    executed: list[str] = []

    def on_message(_client: Client, _data: Any, message: MQTTMessage) -> None:
        order, point = json.loads(message.payload), message.topic.split("/")[1]
        executed.append(order["id"])
        asked = message.properties
        reply = Properties(PacketTypes.PUBLISH)
        reply.CorrelationData = asked.CorrelationData  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
        client.publish(asked.ResponseTopic, b"", 1, properties=reply)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
        said = {"value": order["value"], "time": time.time_ns()}
        client.publish(f"alarm/{point}", json.dumps(said), 1)

    client.on_connect = lambda *_: client.subscribe("device/+/set", 1)
    client.on_subscribe = lambda *_: print("listening", flush=True)
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_start()
    sys.stdin.read()
    client.disconnect()
    client.loop_stop()
    print(len(executed), len(set(executed)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
