"""An alarm becomes a work order in a CMMS: once, however often the event arrives."""

from __future__ import annotations

import json

import httpx
from starlette.responses import Response

from tests.api.webhooks import Receiver, wait_for

SECRET = "a secret of thirty-two bytes, here"
SETTINGS = """
[[alarms]]
name = "too warm"
point = "SAT-{n}"
high = 18.0
severity = "critical"

[[routes]]
name = "cmms"
events = ["alarms"]
url = "http://127.0.0.1:%d/in"
secret_env = "CMMS_SECRET"
work_orders = true
severity_min = "high"
"""
ALARMS = "{ alarms { nodes { id point severity } } }"


class Cmms(Receiver):
    """Keeps each order under the id of its event. While it is `forgetful` its answers get lost."""

    def __init__(self):
        super().__init__()
        self.orders = {}
        self.arrivals = []
        self.forgetful = True

    async def take(self, request):
        event = json.loads(await request.body())
        self.arrivals.append((request.headers["webhook-id"], event["id"], event["data"]["number"]))
        self.orders.setdefault(event["id"], event)
        return Response(status_code=503 if self.forgetful else 201)


def test_an_alarm_is_one_order_however_often_it_is_delivered(cli, serve, spine_data, monkeypatch):
    monkeypatch.setenv("CMMS_SECRET", SECRET)
    cmms = Cmms()
    with cmms.open() as port:
        with (spine_data / "twinmesh.toml").open("a") as settings:
            settings.write(SETTINGS % port)
        server = serve(spine_data)
        line = {"point": "SAT-3", "time": "2026-01-01T00:00:00Z", "value": 24.5}
        taken = httpx.post(f"{server.url}/ingest", content=json.dumps(line), timeout=60)
        assert taken.json()["accepted"] == 1, taken.text
        wait_for(lambda: len(cmms.arrivals) >= 2, 120)  # its answer was lost: it is sent again
        (alarm,) = server.graphql(ALARMS)["alarms"]["nodes"]
        server.kill()
        cmms.forgetful, before = False, len(cmms.arrivals)
        server = serve(spine_data)
        wait_for(lambda: len(cmms.arrivals) > before, 120)  # nobody had said that it arrived
        wait_for(lambda: 'twinmesh_route_behind{route="cmms"} 0' in metrics(server), 120)
        before = len(cmms.arrivals)
        asked = cli("routes", "replay", "--data", spine_data, "--route", "cmms", "--from", "1")
        assert asked.code == 0, asked.err
        wait_for(lambda: len(cmms.arrivals) > before, 120)
        assert server.stop() == 0
    ((order_id, event),) = cmms.orders.items()
    assert set(cmms.arrivals) == {(order_id, order_id, alarm["id"])}
    order = event["data"]
    assert (order_id, event["type"]) == ("campus/alarms/1", "dev.twinmesh.workorder.requested")
    assert (order["asset"], order["priority"]) == (alarm["point"], "critical")
    assert event["subject"].endswith("/SAT-3")


def metrics(server):
    return httpx.get(f"{server.url}/metrics", timeout=60).text
