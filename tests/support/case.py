"""The base class of tests that run the program: a registry with the usual image, an engine per test.

    class Exec(case.EngineTest):
        config = '...toml...'          # optional, for every engine of the class

        def test_prints_what_the_command_prints(self):
            data = self.engine.query('{container{from(address:"%s"){withExec(args:["echo","hi"]){stdout}}}}' % self.image)

    if __name__ == "__main__":
        case.main()
"""

import sys
import threading
import unittest

from support import images
from support.engine import Engine
from support.registry import Registry


class EngineTest(unittest.TestCase):
    """`self.registry` (one per class), `self.image` (the address of images.busybox() in it), `self.engine` (one per
    test, closed and checked for leftovers after it)."""

    config = ""
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.registry = Registry()
        cls.addClassCleanup(cls.registry.stop)
        cls.image = cls.registry.push(images.busybox(), "test/busybox:1")

    def setUp(self):
        self.engine = self.new_engine()

    def new_engine(self, config: str | None = None, **more) -> Engine:
        """A further engine with a life as long as the test."""
        engine = Engine(self.config if config is None else config, **more)
        self.addCleanup(engine.close)
        return engine


def in_background(work):
    """Starts work() on a thread; returns a function that waits for its end, and gives its result or its error."""
    outcome = []

    def keep():
        try:
            outcome.append((work(), None))
        except Exception as error:  # noqa: BLE001 - for who asks
            outcome.append((None, error))

    thread = threading.Thread(target=keep)
    thread.start()

    def result():
        thread.join()
        value, error = outcome[0]
        if error:
            raise error
        return value

    return result


def main():
    unittest.main(verbosity=2, argv=[sys.argv[0], *sys.argv[1:]])
