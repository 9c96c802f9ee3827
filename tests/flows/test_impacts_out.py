"""A cascade that was answered is delivered, although the server was killed before anybody listened."""

from __future__ import annotations

import json

from api.route_store import RouteStore
from tests.api.webhooks import Receiver, bound, wait_for

SECRET = "a secret of thirty-two bytes, here"
RUN = "mutation Run($input: CascadeInput!) { simulateCascade(input: $input) { id status } }"
STATE = "query State($id: ID!) { simulation(id: $id) { status } }"
LOG = "{ impacts { nodes { id number scenario } } }"


def simulate(server, number):
    asked = {"name": f"s{number}", "seed": number, "runs": 2, "events": [{"type": "FAIL", "twin": "CH-1"}]}
    job = server.graphql(RUN, input=asked)["simulateCascade"]["id"]

    def state():
        return server.graphql(STATE, id=job)["simulation"]["status"]

    wait_for(lambda: state() not in ("QUEUED", "RUNNING"), 240)
    assert state() == "DONE"
    return job


def test_what_was_answered_before_a_kill_is_delivered_after_it(cli, serve, spine_data, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    listener, receiver = bound(), Receiver()  # ours, but nobody listens yet: who connects is refused
    port = listener.getsockname()[1]
    with (spine_data / "twinmesh.toml").open("a") as settings:
        settings.write(
            f"""
[[routes]]
name = "hook"
events = ["impacts"]
url = "http://127.0.0.1:{port}/in"
secret_env = "HOOK_SECRET"
"""
        )
    server = serve(spine_data)
    jobs = [simulate(server, number) for number in (1, 2)]
    server.kill()
    with RouteStore.open(spine_data) as store:
        assert store.cursors() == [("hook", "all", "impacts", 0)]
    server = serve(spine_data)
    with receiver.open(listener):
        jobs.append(simulate(server, 3))
        wait_for(lambda: len({event["id"] for event in receiver.events}) == 3, 120)
        assert [node["id"] for node in server.graphql(LOG)["impacts"]["nodes"]] == jobs[::-1]
        assert server.stop() == 0
    told = list({event["id"]: event for event in receiver.events}.values())
    assert [event["id"] for event in told] == [f"all/impacts/{number}" for number in (1, 2, 3)]
    assert [event["data"]["id"] for event in told] == jobs
    assert [event["sequence"] for event in told] == [f"{number:020d}" for number in (1, 2, 3)]
    shown = json.loads(cli("doctor", "--data", spine_data, "--json").out)
    assert "0 events of logs behind, 0 dead letters" in json.dumps(shown)


def test_a_cascade_that_a_follower_ran_is_delivered_by_the_writer(serve, spine_data, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    receiver = Receiver()
    with receiver.open() as port:
        with (spine_data / "twinmesh.toml").open("a") as settings:
            settings.write(
                f"""
[[routes]]
name = "hook"
events = ["impacts"]
url = "http://127.0.0.1:{port}/in"
secret_env = "HOOK_SECRET"
"""
            )
        writer = serve(spine_data)
        follower = serve(spine_data, "--dev", "--follow")
        job = simulate(follower, 1)
        wait_for(lambda: receiver.events, 120)
        (event,) = receiver.events
        assert event["data"]["id"] == job
        for server in (writer, follower):
            assert server.graphql(LOG)["impacts"]["nodes"] == [{"id": job, "number": 1, "scenario": "s1"}]
