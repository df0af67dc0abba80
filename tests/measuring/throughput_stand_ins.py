"""What stands in for a measuring process: light, because it is spawned."""

import os
import signal
import time
from pathlib import Path


def answers(connection, config, answer):
    """Says what it is, then echoes."""
    connection.send(('done', dict(config)))
    while True:
        try:
            connection.send(('done', dict(asked=connection.recv())))
        except EOFError:
            return


def mistaken(connection, config, answer):
    connection.send(('wrong', 'model.teacher: no such file.'))


def failing(connection, config, answer):
    connection.send(('failed', 'Traceback: ZeroDivisionError'))


def leaving(connection, config, answer):
    os._exit(3)


def killed_with_a_worker(connection, config, answer):
    """Dies like a process out of memory; a worker holds its pipe open."""
    worker = os.fork()
    if worker == 0:
        time.sleep(3600)
        os._exit(0)
    Path(config['worker']).write_text(str(worker))
    os.kill(os.getpid(), signal.SIGKILL)


def deaf(connection, config, answer):
    """Does not end when nobody asks any more."""
    connection.send(('done', {}))
    time.sleep(60)


class Script:
    """A connection whose other end asks these questions and leaves."""

    def __init__(self, *questions):
        self.questions, self.replies = list(questions), []

    def recv(self):
        if not self.questions:
            raise EOFError
        return self.questions.pop(0)

    def send(self, reply):
        self.replies.append(reply)
