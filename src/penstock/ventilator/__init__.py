"""The ventilator: takes jobs in, keeps them in queue.db, and deals them out to workers under leases.

``process`` has the sockets, the clock and the store; ``core`` decides, and everything else here is a part of its
decisions, without I/O.
"""
