"""The command ``mmkd browse_dataset``, for whoever works in a clone."""

from mmkd_custom.cli import run

if __name__ == '__main__':
    run('browse_dataset')
