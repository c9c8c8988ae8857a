"""The steps of a certificate's renewal that need `cryptography`, each a short-lived process.

python -m edge_agent.renewal request CONFIG    makes the next key; prints {"csr": base64 of PKCS#10 DER}
python -m edge_agent.renewal accept CONFIG     reads the chain (PEM) from standard input; puts it in place
python -m edge_agent.renewal reenrol CONFIG    asks over EST, by the certificate, or its key where it ran out
python -m edge_agent.renewal trust CONFIG      takes over what the city trusts now; prints {"news": true}
python -m edge_agent.renewal mend CONFIG       finishes what a power cut interrupted
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from edge_agent.config import load
from edge_agent.config_keys import AgentConfig
from edge_agent.errors import AgentError, ConfigError
from edge_agent.io.certificate_dates import validity
from edge_agent.io.enrol_http import EstEnroller
from edge_agent.io.first_time import FirstTime
from edge_agent.io.identity_files import (
    IdentityFiles,
    authorities_in,
    checked_chain,
    ensure_key,
    finish_renewal,
    install_renewal,
    learn_trust,
    make_csr,
    signed_by_the_old_key,
)
from wire_contract.topics import Address


def files_of(config: AgentConfig) -> IdentityFiles:
    return IdentityFiles(config.key_file, config.certificate_file, config.ca_file)


def request(config: AgentConfig) -> dict[str, str]:
    """A request with a key of its own: the old key stays in use until the new certificate is verified."""
    key = ensure_key(files_of(config).next_key)
    csr = make_csr(key, Address(config.device.tenant, config.device.name))
    return {"csr": base64.b64encode(csr).decode()}


def accept(config: AgentConfig, chain_pem: str) -> dict[str, str]:
    """Verify the chain against the next key and the city's authority, then put both in place.

    Roots that come along are what the city trusts from now on: a server that we trust has said so.
    """
    files = files_of(config)
    key = ensure_key(files.next_key)
    address = Address(config.device.tenant, config.device.name)
    install_renewal(files, checked_chain(chain_pem, key, address, files.ca.read_text()))
    trusted = authorities_in(chain_pem)
    if trusted:
        learn_trust(files, trusted)
    return {}


def reenrol(config: AgentConfig) -> dict[str, str]:
    """The next certificate over EST, put in place. Raises EnrolmentPending and the other IdentityErrors."""
    files = files_of(config)
    key, address = ensure_key(files.next_key), Address(config.device.tenant, config.device.name)
    if validity(files.certificate).left_days(FirstTime.of(config).now_s()) > 0:
        chain = _enroller(config, shown=True).reenrol(make_csr(key, address))
    else:
        asked = _enroller(config)
        csr = make_csr(key, address, asked.challenge())
        chain = asked.reenrol_signed(signed_by_the_old_key(files, csr))
    trust = _enroller(config).trust_bundle()
    install_renewal(files, checked_chain(chain, key, address, trust))
    learn_trust(files, trust)
    return {}


def trust(config: AgentConfig) -> dict[str, bool]:
    """What the city trusts, from its server. Raises the IdentityErrors."""
    return {"news": learn_trust(files_of(config), _enroller(config).trust_bundle())}


def _enroller(config: AgentConfig, *, shown: bool = False) -> EstEnroller:
    """The server is verified by what the city trusts; by `enrolment.ca_file` where that is not there."""
    files = files_of(config)
    if not config.enrolment.url:
        raise ConfigError(f"{config.source}: [enrolment] url is needed", "Write the server's device address.")
    ca_file = str(files.ca) if files.ca.exists() else config.enrolment.ca_file
    identity = (files.certificate, files.key) if shown else None
    return EstEnroller(config.enrolment.url, ca_file, identity, FirstTime.of(config))


def main(argv: list[str]) -> int:
    step, path = argv
    try:
        config = load(Path(path))
        told: Mapping[str, object] = _STEPS[step](config)
    except AgentError as error:
        print(json.dumps({"code": error.code, "detail": error.detail, "remedy": error.remedy}))
        return 1
    except (OSError, ValueError) as error:
        print(json.dumps({"code": "identity_wrong", "detail": str(error), "remedy": ""}))
        return 1
    print(json.dumps(told))
    return 0


def _mend(config: AgentConfig) -> dict[str, str]:
    finish_renewal(files_of(config))
    return {}


_STEPS: dict[str, Callable[[AgentConfig], Mapping[str, object]]] = {
    "request": request,
    "accept": lambda config: accept(config, sys.stdin.read()),
    "reenrol": reenrol,
    "trust": trust,
    "mend": _mend,
}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
