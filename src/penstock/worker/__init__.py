"""A worker: runs the jobs of its leases in the slots of one host, and delivers their outcomes to the sink.

``process`` has the sockets and the clock, ``slot_host`` the slots; ``core`` decides, without I/O.
"""
