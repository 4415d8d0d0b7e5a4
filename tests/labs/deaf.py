"""A lab that runs and never listens."""

import signal

print("this lab listens to nobody", flush=True)
signal.pause()
