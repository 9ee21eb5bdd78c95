"""UNIX stream sockets: bound without replacing a living server, and who is at the other end."""

from __future__ import annotations

import grp
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Final

MAX_PATH_BYTES: Final = 107
"""sun_path is 108 bytes with its terminating zero (unix(7))."""
BACKLOG: Final = 64
SO_PEERGROUPS: Final = 59
"""Linux 4.13, include/uapi/asm-generic/socket.h; not in the socket module."""
CREDENTIALS: Final = struct.Struct("3i")
"""struct ucred: pid, uid, gid (unix(7))."""


class SocketError(Exception):
    """The socket cannot be bound; the text says what to do."""


def bind_unix(path: Path, *, mode: int, group: str | None = None) -> socket.socket:
    """A listening socket at ``path`` with ``mode``, owned by ``group`` if one is named.

    The directory is made if needed. A socket left by a dead server is replaced. The new socket is bound under
    another name and renamed when its permissions are right. Raises ``SocketError``.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    if len(os.fsencode(temporary)) > MAX_PATH_BYTES:
        raise SocketError(f"{path}: the name is too long for a UNIX socket; choose a shorter paths.runtime")
    gid = -1 if group is None else _gid_of(group)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _refuse_occupied(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError as error:
        raise SocketError(f"{path}: {_reason(error)}") from error
    try:
        temporary.unlink(missing_ok=True)
        listener.bind(os.fspath(temporary))
        temporary.chmod(mode)
        if gid >= 0:
            os.chown(temporary, -1, gid)
        listener.listen(BACKLOG)
        temporary.rename(path)
    except OSError as error:
        listener.close()
        temporary.unlink(missing_ok=True)
        raise SocketError(f"{path}: {_reason(error)}") from error
    return listener


def unlink_own(path: Path, inode: int) -> None:
    """Remove ``path`` if it is still the socket with ``inode``: a successor's socket stays."""
    try:
        if path.lstat().st_ino == inode:
            path.unlink()
    except OSError:
        # Nothing to remove, or no longer ours to remove: either way the name is somebody else's business.
        return


def peer_is_permitted(sock: socket.socket, gid: int | None) -> bool:
    """The peer of a connected socket is root, ourselves, or in group ``gid``. Raises ``OSError``."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, peer_uid, peer_gid = CREDENTIALS.unpack(raw)
    if peer_uid in (0, os.geteuid()):
        return True
    return gid is not None and gid in {peer_gid, *_peer_groups(sock)}


def _peer_groups(sock: socket.socket) -> tuple[int, ...]:
    """Supplementary groups of the peer; none when the kernel cannot tell, or there are more than 256."""
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 1024)
    except OSError:
        return ()
    return struct.unpack(f"{len(raw) // 4}I", raw)


def _refuse_occupied(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise SocketError(f"{path}: exists and is not a socket; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except (BlockingIOError, TimeoutError):
            pass  # its backlog is full: somebody lives there
    raise SocketError(
        f"{path}: another process already serves here; stop it, or choose another --runtime-dir"
    )


def _gid_of(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise SocketError(
            f'paths.group: no group "{group}" on this host; create it with `groupadd {group}`'
        ) from None


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "permission denied; choose a --runtime-dir that this user may write"
    return error.strerror or str(error)
