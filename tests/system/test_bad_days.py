"""Each bad day of a lamppost: one clear line, a state the operator sees, and the agent goes on.

One real city; each test takes a lamppost of its own, breaks one thing, and looks through the REST API.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.city import City
from demo.layout import TENANT, Post, lay_out, sensor_table
from demo.ledger import Frame, compare, read_ledger
from demo.processes import Child
from demo.records import Records, agent_status
from demo.settings import DemoSettings
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

SEEN_S = 90.0  # a presence with news leaves within five seconds; the rest is a busy machine


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    folder = tmp_path_factory.mktemp("bad") / "city"
    settings = DemoSettings(folder, posts=5, history_h=1.0, seed=3, admin_password="one-bad-day-each")
    city = City(settings, lay_out(settings))
    try:
        for _step in city.start():
            pass
        yield city
    finally:
        city.stop()


def conditions(city: City, post: Post, *, current: bool = True) -> dict[str, dict[str, Any]]:
    """What the operator is told of a lamppost, by code."""
    assert city.api is not None
    path = f"/api/v1/devices/{TENANT}/{post.name}/conditions?current={str(current).lower()}"
    return {each["code"]: each for each in city.api.call("GET", path)}


def told(city: City, post: Post, code: str, *, current: bool = True) -> dict[str, Any]:
    """Wait until the operator sees it; the line has a detail and says what to do."""
    what = f"{post.name} tells {code}"
    seen = wait_until(lambda: conditions(city, post, current=current).get(code), SEEN_S, what)
    assert seen is not None
    assert seen["detail"]
    assert seen["remedy"]
    assert "\n" not in seen["detail"] + seen["remedy"]
    return seen


def presence(city: City, post: Post) -> str:
    assert city.api is not None
    return str(city.api.call("GET", f"/api/v1/devices/{TENANT}/{post.name}")["presence"])


def cleared(city: City, post: Post, code: str) -> None:
    wait_until(lambda: code not in conditions(city, post), SEEN_S, f"{post.name} is rid of {code}")


def stored(city: City, post: Post) -> int:
    return Records(city.layout).now(city.street_zero_ms).per_post[post.name]


def missing(city: City, post: Post, sensed: list[Frame]) -> int:
    return compare(sensed, city.stored(Records(city.layout))[post.name]).missing


def still_stores(city: City, post: Post) -> None:
    before = stored(city, post)
    wait_until(lambda: stored(city, post) > before, SEEN_S, f"{post.name} still stores samples")


def restart(city: City, post: Post) -> Child:
    agent = city.agents[post.name]
    agent.stop()
    agent.start()
    return agent


def online(city: City, post: Post) -> Post:
    """Each test begins with a lamppost that works."""
    wait_until(lambda: presence(city, post) == "online", SEEN_S, f"{post.name} is online")
    still_stores(city, post)
    return post


def change_config(post: Post, old: str, new: str) -> None:
    text = post.config.read_text()
    assert old in text
    post.config.write_text(text.replace(old, new, 1))


def test_a_serial_port_that_is_not_there(city: City) -> None:
    post = online(city, city.layout.posts[0])
    absent = post.directory / "ttyMISSING"
    with post.config.open("a") as config:
        config.write(sensor_table("second", "sds011", absent, 60.0, "pole"))
    restart(city, post)
    seen = told(city, post, "sensor_absent")
    assert str(absent) in seen["detail"]
    assert seen["subject"] == "second"
    still_stores(city, post)
    change_config(post, str(absent), str(city.layout.posts[1].port))  # any SDS011 that is plugged in
    neighbour = city.agents[city.layout.posts[1].name]
    neighbour.stop()
    restart(city, post)
    cleared(city, post, "sensor_absent")
    city.agents[post.name].stop()  # gives the port back
    neighbour.start()


def test_a_broker_that_refuses(city: City) -> None:
    post = online(city, city.layout.posts[1])
    identity = post.data / "identity"
    good = (identity / "device.pem").read_text()
    stranger = post.directory / "stranger"
    _authority_of_another_city(stranger, post, identity / "device.key", identity / "device.pem")
    restart(city, post)

    def refused() -> dict[str, Any] | None:
        found = {each["code"]: each for each in agent_status(post).get("conditions", [])}
        return found.get("broker_refused") or found.get("broker_untrusted")

    line = wait_until(refused, SEEN_S, "the agent says that it is refused")
    assert line is not None
    assert line["remedy"]
    waiting = sum(agent_status(post)["backlog"].values())
    wait_until(
        lambda: sum(agent_status(post)["backlog"].values()) > waiting, SEEN_S, "it goes on sampling meanwhile"
    )
    wait_until(lambda: presence(city, post) == "offline", SEEN_S, "the operator sees it offline")
    (identity / "device.pem").write_text(good)
    told(city, post, line["code"], current=False)
    still_stores(city, post)


def _authority_of_another_city(folder: Path, post: Post, key: Path, certificate: Path) -> None:
    """Have the device's own key certified by an authority that this city's broker does not know."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    from provisioning.authority import Authority
    from wire_contract.topics import Address

    private = serialization.load_pem_private_key(key.read_bytes(), None)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    csr = request.sign(private, hashes.SHA256())  # type: ignore[arg-type]
    other = Authority.init(folder, "elsewhere")
    chain = other.issue_device(csr.public_bytes(serialization.Encoding.DER), Address(TENANT, post.name))
    certificate.write_text(getattr(chain, "chain_pem", chain))


def test_a_clock_in_1970(city: City) -> None:
    post = online(city, city.layout.posts[2])
    wrong = post.directory / "clock.json"
    wrong.write_text(json.dumps({"speed": 60, "street_zero_ms": 5_000, "wall_zero_ms": time.time() * 1000}))
    right = str(city.layout.clock)
    change_config(post, right, str(wrong))
    restart(city, post)
    told(city, post, "clock_unset")
    before = len(read_ledger(post.ledger))
    wait_until(lambda: len(read_ledger(post.ledger)) >= before + 8, SEEN_S, "it goes on sampling")
    change_config(post, str(wrong), right)
    restart(city, post)
    cleared(city, post, "clock_unset")
    sensed = read_ledger(post.ledger)
    wait_until(lambda: not missing(city, post, sensed), SEEN_S, "all samples got their time afterwards")


def test_a_full_disk(city: City) -> None:
    post = online(city, city.layout.posts[3])
    agent = city.agents[post.name]
    agent.stop()
    aside = post.directory / "aside"
    post.data.rename(aside)
    post.data.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "lamppost-test", str(post.data)],
        capture_output=True,
    )
    if mounted.returncode != 0:
        post.data.rmdir()
        aside.rename(post.data)
        agent.start()
        pytest.skip("a small disk needs the right to mount a tmpfs")
    try:
        subprocess.run(["cp", "-a", f"{aside}/.", str(post.data)], check=True)
        filler = post.data / "filler"
        agent.start()
        still_stores(city, post)
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        told(city, post, "disk_full")
        filler.unlink()
        cleared(city, post, "disk_full")
        still_stores(city, post)
    finally:
        agent.stop()
        subprocess.run(["umount", "-l", str(post.data)], check=True)
        post.data.rmdir()
        aside.rename(post.data)


def test_a_corrupted_spool_is_kept_aside_and_reported(city: City) -> None:
    post = online(city, city.layout.posts[4])
    agent = city.agents[post.name]
    agent.stop()
    spool = post.data / "spool" / "spool.db"
    damaged = bytearray(spool.read_bytes())
    damaged[100:4000] = os.urandom(3900)
    spool.write_bytes(damaged)
    for rest in spool.parent.glob("spool.db-*"):
        rest.unlink()
    agent.start()
    seen = told(city, post, "spool_corrupt")
    kept = [file for file in spool.parent.iterdir() if "corrupt" in file.name]
    assert any(file.name in seen["detail"] for file in kept)
    still_stores(city, post)
