"""Result summaries and reports."""

from .benchmark import metric_tables, write_tables
from .benchmark_plot import plot_table
from .report import comparison_table, plot_curves, results_of, student_size
from .summary import read_results, summarize, versions, write_json

__all__ = [
    'comparison_table',
    'metric_tables',
    'plot_curves',
    'plot_table',
    'read_results',
    'results_of',
    'student_size',
    'summarize',
    'versions',
    'write_json',
    'write_tables',
]
