"""What can go wrong in the agent, sorted by who is at fault.

    AgentError
    ├── ConfigError            the operator's input
    ├── NotAllowedOut          ours: something would leave that the list of what may does not name
    ├── SpoolError             the hardware under the spool
    │   ├── SpoolFull          no room on the disk, or a cap of ours is reached
    │   ├── SpoolCorrupt       the file is not what we wrote
    │   └── SpoolInUse         another agent runs on the same folder
    ├── LinkError              what lies between us and the server
    │   ├── BrokerUnreachable  nobody answers at that address
    │   ├── BrokerUntrusted    TLS failed: their certificate, ours, or the clock
    │   ├── BrokerRefused      the broker answered, and said no
    │   ├── ClockUnknown       no clock to check certificates by, and nobody to ask
    │   └── LinkLost           the connection ended
    ├── ModelRefused           the model we were given, or its runtime: the agent decides by rule
    │   └── ModelMissing       there is none
    │       └── RuntimeMissing what would run it is not installed
    └── IdentityError          our key and certificate
        ├── NotEnrolled        there is none yet
        ├── EnrolmentPending   a person has not accepted us yet
        ├── EnrolmentRefused   the server said no
        └── EnrolmentUnreachable

Each has `code` (a condition's code, `core/health.py`), `detail` and `remedy` (what a technician can do).
"""

from __future__ import annotations


class AgentError(Exception):
    """Base of all. `detail` says what happened in one line, `remedy` what to do about it."""

    code = "agent_error"

    def __init__(self, detail: str, remedy: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy


class ConfigError(AgentError):
    """The configuration is wrong; `detail` has one line per problem: file, key, value, what is allowed."""

    code = "config_wrong"


class NotAllowedOut(AgentError):
    """`detail` names what would have left, never what it holds."""

    code = "not_allowed_out"


class SpoolError(AgentError):
    code = "spool_error"


class SpoolFull(SpoolError):
    code = "disk_full"


class SpoolCorrupt(SpoolError):
    code = "spool_corrupt"


class SpoolInUse(SpoolError):
    code = "spool_in_use"


class LinkError(AgentError):
    code = "link_lost"


class BrokerUnreachable(LinkError):
    code = "broker_unreachable"


class BrokerUntrusted(LinkError):
    code = "broker_untrusted"


class BrokerRefused(LinkError):
    code = "broker_refused"


class ClockUnknown(LinkError):
    code = "clock_unset"


class LinkLost(LinkError):
    code = "link_lost"


class ModelRefused(AgentError):
    """It is not what its manifest says, or does not do what it should: nothing is decided with it."""

    code = "model_refused"


class ModelMissing(ModelRefused):
    code = "model_missing"


class RuntimeMissing(ModelMissing):
    pass


class IdentityError(AgentError):
    code = "identity_wrong"


class NotEnrolled(IdentityError):
    code = "not_enrolled"


class EnrolmentPending(IdentityError):
    """`retry_after_s` is what the server asked us to wait."""

    code = "enrolment_pending"

    def __init__(self, detail: str, remedy: str, retry_after_s: float) -> None:
        super().__init__(detail, remedy)
        self.retry_after_s = retry_after_s


class EnrolmentRefused(IdentityError):
    code = "enrolment_refused"


class EnrolmentUnreachable(IdentityError):
    code = "enrolment_unreachable"
