"""The command ``mmkd predict``, for whoever works in a clone."""

from mmkd_custom.cli import run

if __name__ == '__main__':
    run('predict')
