"""torchrun, but a rank that has said why it ends keeps its exit code.

After a mistake of the user it is 2, after Ctrl-C 130, after a closed pipe 141;
torchrun would print a report of its own and exit with 1. Called by dist_*.sh.
"""

import logging
import sys

import _interrupt  # noqa: F401
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

TOLD = (2, 130, 141)

if __name__ == '__main__':
    for name in ('agent.server.api', 'multiprocessing.api'):
        logger = logging.getLogger(f'torch.distributed.elastic.{name}')
        logger.setLevel(logging.CRITICAL)
    try:
        main()
    except SignalException as error:
        # As a shell has it; the ranks have got the signal too.
        sys.exit(128 + error.sigval)
    except ChildFailedError as error:
        codes = {failure.exitcode for failure in error.failures.values()}
        for code in TOLD:
            if code in codes:
                sys.exit(code)
        raise
