"""Result summaries and reports."""

from .report import comparison_table, plot_curves, results_of, student_size
from .results import read_results, summarize, versions, write_json

__all__ = [
    'comparison_table',
    'plot_curves',
    'read_results',
    'results_of',
    'student_size',
    'summarize',
    'versions',
    'write_json',
]
