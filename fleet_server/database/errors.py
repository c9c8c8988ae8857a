"""What can be wrong with a backup, a database, or the programs that make one of the other.

InputError
├── BackupUnusable    damaged, incomplete, or not of this program: it is not restored
└── DatabaseOccupied  there is something that a restore would take away
ConfigurationError
└── NoSuitableProgram PostgreSQL's own programs are missing, or too old for the server
"""

from __future__ import annotations

from fleet_server.errors import ConfigurationError, InputError


class BackupUnusable(InputError):
    """The backup must not be restored; the words name the file and what is wrong with it."""


class DatabaseOccupied(InputError):
    """Something is there, or somebody uses it, and nobody said that it may go."""


class NoSuitableProgram(ConfigurationError):
    """pg_dump or pg_restore is missing, or older than the server."""
