"""Imported before the libraries, which take seconds: Ctrl-C ends in a line."""

from mmkd_custom.cli import end_in_one_line

end_in_one_line()
