"""Looks after key and certificate while the agent runs: enrols where there is none, renews in time.

What needs `cryptography` runs in a child process (`lamppost agent enrol`, `edge_agent.renewal`).
"""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from edge_agent.config_keys import AgentConfig
from edge_agent.core.renewing import Validity, Way, Ways, advise, renew_at
from edge_agent.loops.board import Board
from edge_agent.loops.gate import Gate
from edge_agent.loops.link import LinkLoop
from edge_agent.ports import Clock
from wire_contract.messages import CertificateIssued, CertificateRequest
from wire_contract.topics import Up

log = logging.getLogger("lamppost")

LOOK_EVERY_S = 60.0
ENROL_EVERY_S = 30.0  # the server's Retry-After is obeyed by `enrol --wait`; here a person is awaited
CHILD_TIMEOUT_S = 60.0
TRUST_EVERY_S = 86_400.0
TRUST_FIRST_S = (
    3600.0  # after a start, and up to another hour: a city that starts at once does not ask at once
)
SUBJECT = "identity"
_DATES = ("certificate_expiring", "certificate_expired")
_EST_CODES = frozenset({"enrolment_pending", "enrolment_refused", "enrolment_unreachable"})


class IdentityLoop:
    """Runs in a thread of its own (`run`) until `stop`. Uses the wall clock: certificates know no other.

    `validity_of` reads a certificate file's dates; it may raise OSError, ValueError.
    """

    def __init__(
        self,
        config: AgentConfig,
        clock: Clock,
        board: Board,
        link: LinkLoop,
        validity_of: Callable[[Path], Validity],
    ) -> None:
        self._config, self._clock, self._board, self._link = config, clock, board, link
        self._validity_of = validity_of
        self._woken = threading.Event()
        self._running = True
        self._issued: CertificateIssued | None = None
        self._asked_at_s: float | None = None  # wire clock
        self._mqtt_tries = 0  # since the last certificate came
        # wire clock: when it is asked next what the city trusts
        name = f"{config.device.tenant}/{config.device.name}"
        self._trust_at_s = clock.wire_s() + TRUST_FIRST_S + zlib.crc32(name.encode()) % int(TRUST_FIRST_S)
        self.beat_s = clock.wire_s()  # the watchdog's: when the loop last turned, or will turn next

    def issued(self, message: CertificateIssued) -> None:
        """The server's answer to a renewal; called on the link's thread."""
        self._issued = message
        self._woken.set()

    def stop(self) -> None:
        self._running = False
        self._woken.set()

    def run(self) -> None:
        while self._running:
            wait_s = LOOK_EVERY_S
            try:
                wait_s = self._look()
            except Exception as error:  # the loop's top
                if self._board.loop_failed(SUBJECT, error):
                    log.exception("looking after the certificate failed; it is tried again")
            else:
                self._board.clear("agent_error", SUBJECT)
            self.beat_s = self._clock.wire_s() + wait_s
            self._woken.wait(wait_s)
            self._woken.clear()

    def _look(self) -> float:
        """One round. Returns how long to wait for the next."""
        config = self._config
        if not config.certificate_file.exists():
            if not config.enrolment.url:  # without a claim: its key may be registered
                return LOOK_EVERY_S
            self._enrol()
            return ENROL_EVERY_S
        answer, self._issued = self._issued, None
        if answer is not None:
            self._accept(answer)
        self._renew_in_time()
        return LOOK_EVERY_S

    def _enrol(self) -> None:
        told = self._child(["edge_agent.cli", "enrol", "--json", "--config", str(self._config.source)])
        code = str(told.get("code", ""))
        if not code:
            self._board.clear_subject(SUBJECT)
            self._link.reconnect()
            return
        self._board.clear_subject(SUBJECT, *(_EST_CODES - {code}))
        self._board.raise_(code, SUBJECT, str(told.get("detail", "")), str(told.get("remedy", "")))

    def _renew_in_time(self) -> None:
        try:
            dates = self._validity_of(self._config.certificate_file)
        except (OSError, ValueError) as error:
            self._board.raise_("identity_wrong", SUBJECT, f"{self._config.certificate_file}: {error}")
            return
        self._board.clear("identity_wrong", SUBJECT)
        now_s, device = time.time(), self._config.device
        asked_s_ago = None if self._asked_at_s is None else self._clock.wire_s() - self._asked_at_s
        ways = Ways(self._link.view.connected, bool(self._config.enrolment.url), self._mqtt_tries)
        due_at = renew_at(dates, f"{device.tenant}/{device.name}")
        advice = advise(dates.used(now_s), dates.left_days(now_s), asked_s_ago, ways, due_at)
        for code in _DATES:
            if code == advice.code:
                self._board.raise_(code, SUBJECT, advice.detail)
            else:
                self._board.clear(code, SUBJECT)
        match advice.renew:
            case Way.MQTT:
                self._mqtt_tries += 1
                self._ask()
            case Way.EST:
                self._reenrol()
            case Way.NOT:
                self._look_at_trust()

    def _ask(self) -> None:
        self._asked_at_s = self._clock.wire_s()
        told = self._child(["edge_agent.renewal", "request", str(self._config.source)])
        if "csr" in told:
            csr = base64.b64decode(str(told["csr"]))
            payload = Gate(self._board).leave(Up.CERTIFICATE, CertificateRequest(csr))
            if payload is not None:
                self._link.publish_now(Up.CERTIFICATE, payload)

    def _reenrol(self) -> None:
        """Over EST. While a person decides the condition says so; it is asked again."""
        self._asked_at_s = self._clock.wire_s()
        told = self._child(["edge_agent.renewal", "reenrol", str(self._config.source)])
        code = str(told.get("code", ""))
        if code:
            self._board.clear_subject(SUBJECT, *({*_EST_CODES, "renewal_refused"} - {code}))
            shown = "renewal_refused" if code == "enrolment_refused" else code
            self._board.raise_(shown, SUBJECT, str(told.get("detail", "")), str(told.get("remedy", "")))
            return
        self._renewed()

    def _look_at_trust(self) -> None:
        """Once a day: what the city trusts may have grown by the authority that comes next."""
        now_s = self._clock.wire_s()
        if not self._config.enrolment.url or not self._link.view.connected:
            return
        if now_s < self._trust_at_s:
            return
        self._trust_at_s = now_s + TRUST_EVERY_S
        told = self._child(["edge_agent.renewal", "trust", str(self._config.source)])
        if told.get("code"):
            log.warning("what the city trusts could not be asked: %s", told.get("detail", ""))
        elif told.get("news"):
            log.info("the city trusts another authority from now on")

    def _renewed(self) -> None:
        self._board.clear_subject(SUBJECT, "renewal_refused", *_DATES, *_EST_CODES)
        self._asked_at_s, self._mqtt_tries = None, 0
        log.info("the certificate was renewed")
        self._link.reconnect()

    def _accept(self, answer: CertificateIssued) -> None:
        if answer.refused:
            self._board.raise_("renewal_refused", SUBJECT, answer.refused)
            return
        command = ["edge_agent.renewal", "accept", str(self._config.source)]
        told = self._child(command, answer.chain_pem)
        if told.get("code"):
            self._board.raise_("renewal_refused", SUBJECT, str(told.get("detail", "")))
            return
        self._renewed()

    def _child(self, module_and_arguments: list[str], given: str = "") -> dict[str, object]:
        """Run one of our modules; its last line is JSON: {}, or code, detail and remedy when it failed."""
        done = subprocess.run(
            [sys.executable, "-m", *module_and_arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=CHILD_TIMEOUT_S,
            check=False,
        )
        lines = done.stdout.strip().splitlines()
        try:
            told = json.loads(lines[-1]) if lines else {}
        except ValueError:
            told = {}
        if done.returncode != 0 and not told.get("code"):
            told = {"code": "identity_wrong", "detail": done.stderr.strip()[-500:] or "no answer"}
        return dict(told)
