"""What can go wrong around identity, sorted by who is at fault.

ProvisioningError
├── AuthorityError        the operator's input or disk: the authority's directory
│   ├── AuthorityExists   init would overwrite one
│   ├── AuthorityMissing  there is none, or a file of it is gone
│   ├── AuthorityCorrupt  a file of it cannot be read
│   ├── AuthorityMismatch its files do not belong together
│   ├── AuthorityExposed  a key of it can be read by others
│   ├── RolloverRefused   this step does not come next, or not yet
│   ├── BackupRefused     not a backup, a wrong passphrase, or damaged
│   ├── TokenRefused      the token (PKCS #11) that holds the root's key does not do what is asked
│   │   ├── TokenMissing  its library, the token or the key is not there
│   │   └── PinRefused    its PIN is wrong, locked or not set
│   └── AuthorityOutOfTime its certificates are not valid by this machine's clock
├── RequestRefused        the peer: its certificate request
│   ├── RequestGarbled    not a PKCS#10 in DER, or its signature is wrong
│   ├── WeakKey           a key of a kind or size that is not taken
│   └── WrongName         it asks for a name that is not its own, or a name that fits no certificate
└── BadSetting            the operator's input: a value that cannot stand in a certificate or configuration
"""

from __future__ import annotations


class ProvisioningError(Exception):
    """Every error of this package. `remedy` says what to do about it."""

    remedy: str

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}. {remedy}" if remedy else what)
        self.what = what
        self.remedy = remedy


class AuthorityError(ProvisioningError):
    pass


class AuthorityExists(AuthorityError):
    pass


class AuthorityMissing(AuthorityError):
    pass


class AuthorityCorrupt(AuthorityError):
    pass


class AuthorityMismatch(AuthorityError):
    pass


class AuthorityExposed(AuthorityError):
    pass


class AuthorityOutOfTime(AuthorityError):
    pass


class RolloverRefused(AuthorityError):
    pass


class BackupRefused(AuthorityError):
    pass


class TokenRefused(AuthorityError):
    pass


class TokenMissing(TokenRefused):
    pass


class PinRefused(TokenRefused):
    pass


class RequestRefused(ProvisioningError):
    pass


class RequestGarbled(RequestRefused):
    pass


class WeakKey(RequestRefused):
    pass


class WrongName(RequestRefused):
    pass


class BadSetting(ProvisioningError):
    pass
