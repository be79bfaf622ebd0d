"""The plugin for nbgrader's exchange: its seven operations, over the lab service in place of a shared disk.

nbgrader's command line, its formgrader and its lists use them through `ExchangeFactory`; see `configuration`.
"""

from kirzl_lab.courses.in_server.collecting import Collect
from kirzl_lab.courses.in_server.exchange import LabExchange
from kirzl_lab.courses.in_server.fetching import FetchAssignment, FetchFeedback
from kirzl_lab.courses.in_server.listing import List
from kirzl_lab.courses.in_server.releasing import ReleaseAssignment, ReleaseFeedback
from kirzl_lab.courses.in_server.submitting import Submit

__all__ = [
    "Collect",
    "FetchAssignment",
    "FetchFeedback",
    "LabExchange",
    "List",
    "ReleaseAssignment",
    "ReleaseFeedback",
    "Submit",
]
