"""Whatever is lost or late, whoever loses power or memory: in the end a lamppost has what is desired.

The agent's own core and the server's own rules, with a wire and disks that hypothesis is let loose on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace as altered

from edge_agent.core.twin import Twin, judging, report, started, take_in, wished
from fleet_server.devices.rules import report_counts
from fleet_server.twin import rules
from fleet_server.twin.rules import Sync
from wire_contract.envelope import decode, encode
from wire_contract.messages import TwinDesired, TwinReported
from wire_contract.settings import OK, Value

JUDGE = judging(("front",))
FLUSH = "telemetry.flush_interval_s"
WISHES = st.dictionaries(
    st.sampled_from([FLUSH, "log.level", "sensor.front.every_s", "sensor.gone.every_s", "colour"]),
    st.sampled_from([1, 2.5, 60, 61, "debug", "info"]),
)
FROM_SETTLED = 30  # exchanges without a fault: more than the two or three that it takes


@dataclass
class Server:
    """The rows of one device: what it desires, and what it stored of the reports."""

    sync: Sync = field(default_factory=Sync)
    report_version: int | None = None
    epoch: int = -1
    device_epoch: int = 0
    acks: bool = False

    def hear(self, said: TwinReported) -> None:
        forgot = said.acks is None and self.acks
        same = self.epoch == self.device_epoch
        if not report_counts(self.report_version, said.version, same_epoch=same):
            return
        before = self.sync if same else replace(self.sync, had=None)
        self.sync = rules.heard(before, said.acknowledged, rules.wishes_of(said), forgot=forgot)
        self.acks = bool(said.acks)
        self.report_version, self.epoch = said.version, self.device_epoch


class Fleet(RuleBasedStateMachine):
    """One device, one server, two directions of messages that may be lost, doubled and put out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.server, self.backup = Server(), Server()
        self.device, self.disk = Twin(version=1), Twin(version=1)
        self.down: list[bytes] = []
        self.up: list[bytes] = []
        self.backup_of_the_card = self.device
        self.clock = 1_000
        self.history: dict[int, dict[str, Value]] = {0: {}}  # what each version was
        self.restored = False
        self.forgot = False  # an older program has run at the device

    @initialize(wishes=WISHES)
    def begin(self, wishes: dict[str, Value]) -> None:
        self.wish(wishes)

    # -- what happens ------------------------------------------------------------------------------------

    @rule(wishes=WISHES)
    def wish(self, wishes: dict[str, Value]) -> None:
        if wishes != self.server.sync.desired:
            self.server.sync = rules.wished(self.server.sync, wishes)
            self._note()

    @rule()
    def send(self) -> None:
        if self.server.sync.due:
            self.down.append(encode(rules.message(self.server.sync)))
            self.server.sync = rules.sent(self.server.sync)

    @rule()
    def tell(self) -> None:
        """At a connection, and whenever it has taken something in."""
        self.up.append(encode(report(self.device, {FLUSH: 10.0}, {})))

    @rule(data=st.data(), keep=st.booleans())
    def arrive_down(self, data: st.DataObject, keep: bool) -> None:
        if self.down:
            self._take(self._one(self.down, data, keep))
            self.tell()

    @rule(data=st.data(), keep=st.booleans())
    def arrive_up(self, data: st.DataObject, keep: bool) -> None:
        if self.up:
            self.server.hear(self._said(self._one(self.up, data, keep)))
            self._note()

    @rule()
    def lose_everything_on_the_way(self) -> None:
        self.down, self.up = [], []

    @rule(data=st.data())
    def lose_power_while_it_is_kept(self, data: st.DataObject) -> None:
        """Before or after the file was written: never something between (write_atomically)."""
        before: bool = data.draw(st.booleans())
        if self.down and not before:
            message = decode(self._one(self.down, data, False))
            assert isinstance(message, TwinDesired)
            self.disk = take_in(self.device, message, JUDGE)
        self.device = self.disk

    @rule()
    def lose_the_twin_file(self) -> None:
        """A new one begins with a version of the clock's, above all that were told."""
        self.clock += 1_000
        self.device = self.disk = Twin(version=self.clock)

    @rule()
    def replace_the_storage_card(self) -> None:
        """Another epoch; its versions may begin at nothing, as an agent without a clock has it."""
        self.server.device_epoch += 1
        self.device = self.disk = Twin(version=0)
        self.up = []  # it is another connection: the birth comes first

    @rule()
    def copy_the_card(self) -> None:
        self.backup_of_the_card = self.device

    @rule(knows_the_time=st.booleans())
    def put_the_copy_back(self, knows_the_time: bool) -> None:
        """The same storage to the server, with what it knew then. The agent starts, and connects anew."""
        self.clock += 1_000
        version = max(self.backup_of_the_card.version, self.clock) if knows_the_time else 0
        old = replace(self.backup_of_the_card, version=max(self.backup_of_the_card.version, version))
        self.device = self.disk = started(old)
        self.connect()

    @rule()
    def connect(self) -> None:
        """Its birth is heard: what it reports next counts."""
        self.down = []  # of the connection before
        self.server.report_version = None

    @rule()
    def an_older_program_ran(self) -> None:
        """It keeps the version that was taken in, loses what it was, and tells of no acks."""
        self.device, self.forgot = started(replace(self.device, wishes={})), True
        self.up.append(encode(altered(report(self.device, {FLUSH: 10.0}, {}), acks=None)))
        self.device = self.disk = started(self.device)  # and then the newer one once more

    @rule()
    def back_up(self) -> None:
        self.backup = replace(self.server)

    @rule()
    def restore(self) -> None:
        epoch = self.server.device_epoch
        self.server, self.restored = replace(self.backup, device_epoch=epoch), True

    @rule(wishes=WISHES)
    def restore_and_wish_something_else(self, wishes: dict[str, Value]) -> None:
        """A version that was given before is given again, to something else."""
        self.restore()
        self.wish(wishes)

    # -- what always holds -------------------------------------------------------------------------------

    @invariant()
    def the_disk_has_what_is_acknowledged(self) -> None:
        assert self.device == self.disk

    @invariant()
    def a_version_is_one_state(self) -> None:
        """Nobody is ever half between two versions. (After a restore, versions may have been two things.)"""
        if not self.restored:
            had = {key: wish.value for key, wish in self.device.wishes.items()}
            if self.forgot and not had:
                return  # all of it, and not a part
            assert had == self.history[self.device.acknowledged]

    def teardown(self) -> None:
        """The faults end. What was on its way comes late; then both talk, and soon agree."""
        late = [*self.down], [*self.up]
        self.down, self.up = [], []
        for payload in late[0]:
            self._take(payload)
        for payload in late[1]:
            self.server.hear(self._said(payload))
        self.connect()
        for _ in range(FROM_SETTLED):
            self.server.hear(report(self.device, {FLUSH: 10.0}, {}))
            if not self.server.sync.due:
                break
            self._take(encode(rules.message(self.server.sync)))
            self.server.sync = rules.sent(self.server.sync)
        sync = self.server.sync
        assert not sync.due
        assert sync.acknowledged == sync.version == self.device.acknowledged
        assert self.device.wishes.keys() == sync.desired.keys()
        assert wished(self.device) == {k: v for k, v in sync.desired.items() if JUDGE(k, v)[0] == OK}

    def _note(self) -> None:
        self.history[self.server.sync.version] = dict(self.server.sync.desired)

    # -- helpers -----------------------------------------------------------------------------------------

    def _take(self, payload: bytes) -> None:
        message = decode(payload)
        assert isinstance(message, TwinDesired)
        self.device = self.disk = take_in(self.device, message, JUDGE)

    @staticmethod
    def _said(payload: bytes) -> TwinReported:
        message = decode(payload)
        assert isinstance(message, TwinReported)
        return message

    @staticmethod
    def _one(queue: list[bytes], data: st.DataObject, keep: bool) -> bytes:
        """Any of them: out of order; and it may come once more."""
        index = data.draw(st.integers(0, len(queue) - 1))
        return queue[index] if keep else queue.pop(index)


Fleet.TestCase.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
TestFleet = Fleet.TestCase


@pytest.mark.parametrize("event", ["copy", "older program"])
def test_what_chance_finds_too_seldom(event: str) -> None:
    fleet = Fleet()
    fleet.begin({FLUSH: 1})
    fleet.send()
    fleet._take(fleet.down.pop())
    fleet.tell()
    fleet.server.hear(fleet._said(fleet.up.pop()))
    assert not fleet.server.sync.due
    if event == "copy":
        fleet.put_the_copy_back(knows_the_time=False)
    else:
        fleet.an_older_program_ran()
    fleet.teardown()
