"""Data looked at before a run: reports, protocols, archives."""

from .check import Report, check_domain_folder
from .check_streams import check_streams

__all__ = ['Report', 'check_domain_folder', 'check_streams']
