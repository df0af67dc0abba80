"""The command ``mmkd latency``, for whoever works in a clone."""

from mmkd_custom.cli import run

if __name__ == '__main__':
    run('latency')
