"""TensorFlow starts without its start-up lines on the screen.

`TF_CPP_MIN_LOG_LEVEL` does not reach the lines that its C++ code writes before
logging is set up, so they are taken out of standard error while TensorFlow is
imported. Every other line is passed on.
"""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from types import ModuleType

from landmark_tf.files import memory

_START_UP = re.compile(
    rb"absl::InitializeLog\(\)|port\.cc|cudart_stub\.cc|cpu_feature_guard\.cc"
    rb"|computation_placer\.cc|cuda_(dnn|fft|blas|executor|platform|diagnostics)"
    rb"\.cc|To enable the following instructions|TF-TRT Warning"
)


def import_tensorflow(devices: bool = True) -> ModuleType:
    """Imports TensorFlow (2 to 4 s the first time) and returns it.

    Args:
        devices: this process is going to compute: also look for accelerators
            now, so that the lines about a missing one are kept off the screen
            too, and without one hold on to memory.
    """
    if "tensorflow" in sys.modules and not devices:
        return sys.modules["tensorflow"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _without_start_up_lines():
        import tensorflow as tf

        if devices:
            found = {x.device_type for x in tf.config.list_physical_devices()}
            if found == {"CPU"}:
                memory.keep_freed()
    tf.get_logger().setLevel("ERROR")
    return tf


@contextlib.contextmanager
def _without_start_up_lines() -> Iterator[None]:
    """Holds back what is written to file descriptor 2, then passes it on."""
    try:
        stderr = os.dup(2)
    except OSError:  # a daemon without standard error
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not _START_UP.search(line):
                    os.write(2, line)
