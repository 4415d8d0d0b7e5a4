"""A lab that works, and that neither an interrupt nor a request to end stops."""

import os
import runpy
import signal

real = signal.signal
signal.signal = lambda *_: None
for number in (signal.SIGINT, signal.SIGTERM):
    real(number, signal.SIG_IGN)
runpy.run_path(os.path.join(os.path.dirname(__file__), "quick.py"))
