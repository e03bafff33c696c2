"""The wire: what travels between the processes of a pipeline, and the sockets that carry it.

``messages`` is the protocol, ``frames`` how a message becomes bytes, ``sockets`` the only user of ZeroMQ, ``guard`` who
gets in. Nothing here decides what is done with a message.
"""
