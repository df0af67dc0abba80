"""Data looked at before a run: reports, protocols, archives."""

from .check import DatasetReport, check_domain_folder
from .check_streams import StreamsReport, check_streams

__all__ = [
    'DatasetReport',
    'StreamsReport',
    'check_domain_folder',
    'check_streams',
]
