"""A virtual network in virtual time, on which the real stations run, all in one process.

Ventilator, sink and workers are penstock's own: their cores, stores, codec, `receive` and `perform`, and the turn of
station/loop.py. Virtual are the links, the clock, the slots of workers, and the client. Time jumps to whatever comes
next. All that is random comes from one seed, so a schedule is replayed by its seed.

======== ==============================================================================================
module   what it has
======== ==============================================================================================
network  virtual time, connections that break and lose, and what a station has in the place of sockets
nodes    a process that can be killed at any point of a turn or stopped, with a real station in it
slots    the slots of a worker: jobs that take virtual time, fail, or kill their slot or worker
client   a client that submits, repeats what is not acknowledged, and follows
oracle   what was acknowledged, ran, was recorded and announced; what must hold in the end
world    all of it together, and the faults
spans    the same for millions of jobs, counted in spans
======== ==============================================================================================
"""
