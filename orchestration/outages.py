"""What the machine may refuse a command, as a sentence: a locked database, a full disk, a folder that is read-only."""

from __future__ import annotations

import errno
import sqlite3

from recommender.errors import InputError

__all__ = ["outage"]

_DISK = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "raise the limit of a file's size",
    errno.EROFS: "make the folder writable",
    errno.EACCES: "make the folder writable for this user",
    errno.EPERM: "make the folder writable for this user",
}
_DATABASE = {
    sqlite3.SQLITE_BUSY: "end what holds it or wait a moment",
    sqlite3.SQLITE_FULL: "free some space",
    sqlite3.SQLITE_IOERR: "look at the disk",
    sqlite3.SQLITE_READONLY: "make the folder writable for this user",
    sqlite3.SQLITE_CANTOPEN: "make the folder writable for this user",
}


def outage(problem: Exception) -> InputError | None:
    """The sentence for an error of the machine; None for any other, which is ours and deserves its traceback."""
    if isinstance(problem, sqlite3.OperationalError):
        remedy = _DATABASE.get(getattr(problem, "sqlite_errorcode", -1) & 0xFF)
        found = f"a database below the home cannot be used ({problem})."
    elif isinstance(problem, OSError):
        remedy = _DISK.get(problem.errno or 0)
        found = f"{problem.filename or 'a file'} cannot be written or read ({problem.strerror})."
    else:
        return None
    return None if remedy is None else InputError(found, "a home that can be written.", f"{remedy}, then try again.")
