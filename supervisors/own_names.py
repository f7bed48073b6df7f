"""Names of what the daemon itself runs: the residents of its node, and the store, which is a process."""

from __future__ import annotations

NODE = "system:node"
SESSIONS = "system:sessions"
SERVICES = "system:services"
MANAGER = "system:manager"
STORE = "system:store"
