"""The command ``mmkd zero_shot``, for whoever works in a clone."""

from mmkd_custom.cli import run

if __name__ == '__main__':
    run('zero_shot')
