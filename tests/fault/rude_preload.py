"""A module that leaves its mark on the process that imports it: all of it must be gone in the children of a zygote."""

from __future__ import annotations

import os
import signal

READER, WRITER = os.pipe()
os.set_blocking(WRITER, False)
signal.set_wakeup_fd(WRITER)
signal.signal(signal.SIGUSR1, lambda number, frame: None)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM})
signal.setitimer(signal.ITIMER_REAL, 3600)
os.chdir("/proc")
os.umask(0)
os.environ["RUDE"] = "yes"
