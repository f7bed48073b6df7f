"""Times as people say them."""

from __future__ import annotations

from datetime import datetime, timedelta

_EPOCH = datetime(1970, 1, 1)
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


def text(age_s: float) -> str:
    """How long ago: ``just now``, ``5 min ago``, ``2 hours ago``, ``yesterday``, ``3 days ago``."""
    if age_s < _MINUTE_S:
        return "just now"
    if age_s < _HOUR_S:
        return f"{int(age_s // _MINUTE_S)} min ago"
    if age_s < _DAY_S:
        hours = int(age_s // _HOUR_S)
        return "1 hour ago" if hours == 1 else f"{hours} hours ago"
    days = int(age_s // _DAY_S)
    return "yesterday" if days == 1 else f"{days} days ago"


def length(span_s: float) -> str:
    """How long, in its largest unit and the next one: ``0 s``, ``59 s``, ``1 min 5 s``, ``2 h 0 min``, ``3 d 4 h``."""
    seconds = int(span_s)
    if seconds < _MINUTE_S:
        return f"{seconds} s"
    if seconds < _HOUR_S:
        return f"{seconds // _MINUTE_S} min {seconds % _MINUTE_S} s"
    if seconds < _DAY_S:
        return f"{seconds // _HOUR_S} h {seconds % _HOUR_S // _MINUTE_S} min"
    return f"{seconds // _DAY_S} d {seconds % _DAY_S // _HOUR_S} h"


def moment(at: float) -> str:
    """``2026-11-22 04:32:00Z`` of a time in seconds since 1970 UTC."""
    return f"{_EPOCH + timedelta(seconds=int(at)):%Y-%m-%d %H:%M:%S}Z"


def time_of_day(at: float) -> str:
    """``HH:MM:SSZ`` of a time in seconds since 1970 UTC."""
    second = int(at) % _DAY_S
    return f"{second // _HOUR_S:02}:{second // _MINUTE_S % 60:02}:{second % 60:02}Z"
