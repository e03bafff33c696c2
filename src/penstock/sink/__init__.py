"""The sink: records what became of each job, once, in results.db, and tells whoever asks.

``process`` has the sockets, the clock and the store; ``core`` decides, without I/O.
"""
