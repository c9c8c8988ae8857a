"""First enrolment: key, request, a person's decision, certificate."""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_agent.config_keys import AgentConfig
from edge_agent.errors import ConfigError, EnrolmentPending, EnrolmentUnreachable
from edge_agent.io.enrol_http import EstEnroller
from edge_agent.io.first_time import FirstTime
from edge_agent.io.identity_files import checked_chain, ensure_key, fingerprint, install_chain, make_csr
from edge_agent.ports import Enroller, Plea
from edge_agent.renewal import files_of
from wire_contract.topics import Address

UNREACHABLE_RETRY_S = 5.0  # with --wait: a server that restarts is back within seconds
MIN_WAIT_S = 0.5  # whatever the server's Retry-After says: it is asked politely
MAX_WAIT_S = 60.0  # ask at least each minute, whatever the server's Retry-After says


def enrol(
    config: AgentConfig,
    wait: bool,
    tell: Callable[[str], None],
    enroller: Enroller | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Get a certificate and put it in place. `tell` gets one line a step.

    Raises EnrolmentPending (unless `wait`) and the other IdentityErrors, and ConfigError.
    """
    if not config.enrolment.url:
        remedy = "Write the address and the claim that the city gave you into the configuration."
        raise ConfigError(f"{config.source}: [enrolment] url is needed to enrol, and a claim", remedy)
    files = files_of(config)
    address = Address(config.device.tenant, config.device.name)
    key = ensure_key(files.key)
    tell(f"{address}: key fingerprint {fingerprint(key)}")
    own = config.enrolment
    asked = enroller or EstEnroller(own.url, own.ca_file, first_time=FirstTime.of(config))
    plea = Plea(make_csr(key, address), config.enrolment.claim)
    while True:
        try:
            chain = asked.enrol(plea)
            trust = asked.trust_bundle()
            break
        except EnrolmentPending as error:
            if not wait:
                raise
            tell(f"pending: {error.detail}")
            sleep(min(max(error.retry_after_s, MIN_WAIT_S), MAX_WAIT_S))
        except EnrolmentUnreachable as error:
            if not wait:
                raise
            tell(f"not yet: {error.detail}")
            sleep(UNREACHABLE_RETRY_S)
    install_chain(files, checked_chain(chain, key, address, trust), trust)
    tell(f"enrolled: certificate in {files.certificate}")
