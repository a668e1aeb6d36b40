"""What holds for every test: Ctrl-C reaches what a test starts, however the suite was started.

A shell starts what runs in the background with SIGINT ignored, and children inherit that.
"""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
