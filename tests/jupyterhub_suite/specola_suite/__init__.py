"""JupyterHub's own tests, run against Specola.

The tests are JupyterHub's, unchanged, out of its wheel. What they expect to find, an application object of JupyterHub in
their own process, is real but does not serve: its database is Specola's, and every request goes to Specola.
"""
