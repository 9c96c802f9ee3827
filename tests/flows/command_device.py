"""A device in a process of its own: takes set-points by MQTT, writes down each one it executes, says it back.

python command_device.py PORT LOG [answer|silent|refuse]
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def main(port: int, log: Path, manner: str) -> None:
    # A session that outlives the connection, as a field device has one.
    client = Client(CallbackAPIVersion.VERSION2, client_id="device-1", protocol=MQTTProtocolVersion.MQTTv5)

    def on_connect(*_: object) -> None:
        client.subscribe("device/+/set", 1)

    def on_subscribe(*_: object) -> None:
        print("listening", flush=True)

    def on_message(_client: object, _data: object, message: object) -> None:
        order = json.loads(message.payload)
        name = message.topic.split("/")[1]
        with log.open("a") as file:
            file.write(json.dumps({"point": name, **order}) + "\n")
        answer(client, message.properties, manner)
        if manner != "refuse":
            client.publish(f"device/{name}/value", json.dumps({"value": order["value"]}), 1)

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3_600
    client.connect("127.0.0.1", port, clean_start=False, properties=properties)
    # The test that started us may die: its end of our standard input closes then.
    threading.Thread(target=lambda: (sys.stdin.read(), client.disconnect()), daemon=True).start()
    client.loop_forever()


def answer(client: Client, properties: object, manner: str) -> None:
    topic = getattr(properties, "ResponseTopic", None)
    if topic is None or manner == "silent":
        return
    reply = Properties(PacketTypes.PUBLISH)
    reply.CorrelationData = properties.CorrelationData
    said = {"ok": True} if manner == "answer" else {"ok": False, "message": "locked by hand"}
    client.publish(topic, json.dumps(said), 1, properties=reply)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "answer")
