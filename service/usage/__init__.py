"""Rate limits and usage accounting of inference.

Each API process counts in local memory. A background exchange with Redis, about once per second,
adds its counts to the totals and reads the counts of the other processes. A request therefore
costs no round trip. A limit may be exceeded by what other replicas admit within one exchange
interval; the excess delays later requests.
"""

from service.usage.accounts import Served
from service.usage.meter import Admission, Meter

__all__ = ["Admission", "Meter", "Served"]
