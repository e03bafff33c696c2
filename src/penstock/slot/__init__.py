"""A slot: the process that runs user code, one job at a time, and what surrounds it there.

``process`` is the only module that runs user code; ``fork_server`` makes slots; ``protocol`` is how a slot and its
worker speak. A slot never speaks to the network.
"""
