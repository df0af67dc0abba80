"""``python -m mmkd_custom`` is the console script ``mmkd``."""

from .cli import main

if __name__ == '__main__':
    main()
