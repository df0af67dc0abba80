"""torchrun, but a user's mistake keeps its exit code.

A rank that meets one says it in a sentence and exits with 2; torchrun would
print a report of its own and exit with 1. Called by dist_*.sh.
"""

import logging
import sys

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

EXIT_USER_ERROR = 2

if __name__ == '__main__':
    logging.getLogger(
        'torch.distributed.elastic.multiprocessing.api'
    ).setLevel(logging.CRITICAL)
    try:
        main()
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        if EXIT_USER_ERROR not in codes:
            raise
        sys.exit(EXIT_USER_ERROR)
