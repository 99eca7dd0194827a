import subprocess
import sys

import pytest

# Touches 64 MiB again and again, and counts the pages that were cleared for it.
_CODE = """
import resource
from landmark_tf.files import memory
if {keep}:
    memory.keep_freed()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytearray(64 << 20)
before = faults()
for _ in range(8):
    bytearray(64 << 20)
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a no-op")
def test_freed_memory_is_not_cleared_again():
    kept, given_back = (
        int(
            subprocess.run(
                [sys.executable, "-c", _CODE.format(keep=keep)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for keep in (True, False)
    )
    assert kept < 100 < given_back / 10
