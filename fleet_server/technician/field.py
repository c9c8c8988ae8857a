"""What a technician's tool and a phone are told of the city: addresses, trust roots, labels."""

from __future__ import annotations

from dataclasses import dataclass

from fleet_server.access.rules import EVERY_TENANT, Action, Principal
from fleet_server.access.service import authorize
from fleet_server.config import ServerConfig
from fleet_server.context import Context
from fleet_server.enrolment import issuing
from fleet_server.enrolment import store as enrolments
from fleet_server.enrolment.rules import State
from fleet_server.enrolment.service import Enrolment
from fleet_server.errors import NotFound
from provisioning.claims import parse_token
from provisioning.technician import label
from wire_contract.errors import InvalidName
from wire_contract.topics import Address

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_ANY_SECRET = "x" * 16  # a claim's id alone is checked by its form


@dataclass(frozen=True)
class FieldSettings:
    """What a bundle needs; the same names as provisioning.technician.home.Settings."""

    tenant: str
    pages_url: str
    enrolment_url: str
    broker_host: str
    broker_port: int
    trust_pem: str


@dataclass(frozen=True)
class ClaimLabel:
    """A claim and the label for it. `device`: "" while a free claim has not been used."""

    claim_id: str
    state: State
    tenant: str
    device: str
    url: str
    svg: str
    enrolment_id: int


def address_of(tenant: str, name: str) -> Address:
    """Raises NotFound for one that no lamppost can have."""
    try:
        return Address(tenant, name)
    except InvalidName:
        raise NotFound(f"There is no lamppost {tenant[:64]}/{name[:64]}.") from None


def field_settings(ctx: Context, principal: Principal) -> FieldSettings:
    """Raises Forbidden, AuthorityUnavailable."""
    authorize(principal, Action.SITES_READ)
    config = ctx.config
    name = public_name(config)
    listen = config.api.device_listen
    return FieldSettings(
        tenant=config.tenant.name if principal.tenant == EVERY_TENANT else principal.tenant,
        pages_url=pages_url(config),
        enrolment_url="" if listen is None else f"https://{_host(name)}:{listen.port}",
        broker_host=name if config.broker.managed else config.broker.host,
        broker_port=config.broker.port,
        trust_pem=issuing.ca_certificates(ctx),
    )


def label_of(ctx: Context, principal: Principal, claim_id: str) -> ClaimLabel:
    """The label of a claim, used or not. Raises Forbidden, NotFound."""
    authorize(principal, Action.ENROLMENTS_READ)
    found = _claim(ctx, principal, claim_id)
    shown = label.Label(
        pages_url(ctx.config), claim_id, f"{found.tenant}/{found.device or 'free'}", found.site
    )
    return ClaimLabel(
        claim_id=claim_id,
        state=found.state,
        tenant=found.tenant,
        device=found.device or "",
        url=shown.url,
        svg=label.svg(shown),
        enrolment_id=found.id,
    )


def _claim(ctx: Context, principal: Principal, claim_id: str) -> Enrolment:
    found = None
    if parse_token(claim_id, _ANY_SECRET) is not None:
        with ctx.db.session(principal.tenant) as session:
            found = enrolments.find_by_claim(session, claim_id)
    if found is None or principal.tenant not in (EVERY_TENANT, found.tenant):
        raise NotFound(f"There is no claim {claim_id[:20]}.")
    return found


def public_name(config: ServerConfig) -> str:
    """The first of the names under which devices reach this server that others can reach as well."""
    names = config.authority.server_names
    return next((name for name in names if name not in _LOOPBACK), names[0])


def pages_url(config: ServerConfig) -> str:
    """What people's phones open: [oidc] pages, else what can be told without it."""
    if config.oidc.pages:
        return config.oidc.pages
    return f"https://{_host(public_name(config))}" if config.api.behind_tls else f"http://{config.ui.listen}"


def _host(name: str) -> str:
    return f"[{name}]" if ":" in name else name
