"""`bench emulated`: every figure is there and plausible. What it says on a given day is in docs/benchmarks.md."""

import json

from test_cluster import Lab


def test_every_figure_is_there(tmp_path):
    lab = Lab(tmp_path / "another")
    words = ["bench", "emulated", "--json", "--seconds", "4", "--requests", "5", "--rounds", "1", "--starts", "1"]
    report = json.loads(lab.run(*words))
    found = {one["name"]: {f["name"]: f["value"] for f in one["figures"]} for one in report["measurements"]}

    def instructions(name, figure="median"):
        return found[name][figure]

    # Which of the two costs less is for the bench to say: five requests are few beside what the node does anyway.
    for how in ("kept", "new"):
        assert 10_000 < instructions(f"GET /api/node/status, {how} connection") < 10_000_000
    assert instructions("GET /api/cluster/members, new connection") > 10_000
    assert instructions("a second of idling in a cluster of 3", "all") > 10_000
    for kind in ("heartbeat", "discovery"):
        assert f"one more {kind} heard" in found
    update = found["a KB of an update received"]
    assert update["all"] > update["stand-in for flash and cache"] > 1_000
    for listed in ("GET /api/node/status, listed", "of that, listed"):
        shares = sum(value for name, value in found[listed].items() if not name.startswith("each"))
        assert abs(shares - 100) < 1
    assert 0 < found["power on to ACTIVE on all others"]["median"]
    resources = found["since the start, as the node tells"]
    assert 0 < resources["stack used"] <= resources["of"]
    assert not (tmp_path / "another").exists(), "the user's own lab is left alone"
