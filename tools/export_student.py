"""The command ``mmkd export_student``, for whoever works in a clone."""

from mmkd_custom.cli import run

if __name__ == '__main__':
    run('export_student')
