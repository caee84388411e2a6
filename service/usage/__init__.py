"""Limits and accounting of inference.

Every api process counts by itself, in plain memory; a background exchange with Redis about
every second adds what it counted to the totals and learns what the others counted. So a
request costs no round trip, and a limit may be overshot by what the other replicas admit
within one exchange; the overshoot is then waited off.
"""

from service.usage.meter import Admission, Meter, Served

__all__ = ["Admission", "Meter", "Served"]
