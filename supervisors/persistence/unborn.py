"""Unborn: what is left of a session that nobody was ever told of, because its process, or the daemon, died as it was made."""

from __future__ import annotations

from supervisors.persistence import database_files, files, proof
from supervisors.persistence.journal import records_of, session_of
from supervisors.persistence.proof import HEAD_BYTES
from supervisors.persistence.signing import Keys


def is_unborn(folder: str, id: str, keys: Keys, head_fd: int, refused_at: float | None = None) -> bool:
    """Whether nothing was saved in ``folder``, or only by the start that was refused (``created_at`` of its record).

    :raises RequestError, OSError: there is something, and it is bad.
    """
    head = proof.decode_head(files.read_all(head_fd, HEAD_BYTES), keys)
    if head is None:
        return database_files.is_unfinished(folder, id, keys)
    if head.generation > 1 or (head.number and refused_at is None):  # a head is never ahead
        return False
    content = database_files.read(f"{folder}/{head.epoch}.db", id, keys)
    proof.check_head(head, content)
    session = session_of(content, records_of(content))
    return not session or (refused_at is not None and session.get("created_at") == refused_at)
