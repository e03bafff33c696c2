"""What the tests stand on, a line for each module.

=================== ==============================================================================================
module              what it is for (and who uses it)
=================== ==============================================================================================
stations            starts real processes of a pipeline, finds free ports, waits until something is so (nearly all)
fault_pipeline      real stations with short leases, and ways to harm them (faults)
keyed_pipeline      real stations with keys, and strangers who knock at their sockets (keys, hostile, doctor)
attack_scene        an honest client's pipeline under attack, and who judges whether it was harmed (attack)
example_messages    an example of any message of the protocol, made from its type (attack)
namespace_hosts     several hosts on this machine, each a set of Linux namespaces (hosts, fleet, slurm)
tcp_proxy           a link that stands still or breaks when a test says so (faults/test_link_breaks)
delay_proxy         a program: a link over which everything arrives later (faults/test_hosts)
strace_log          reads from strace's log what a station wrote to its disk and its peers, in order
faulty_disk         a disk under real SQLite that loses its power or fails (store_disk, scenarios/test_power)

month               a pipeline that lives long on that network, and what of it stays (scenarios, scripts/month)
sim                 all stations of a pipeline on a virtual network in virtual time (scenarios, scripts/scale)
surroundings        sockets, signals and log for a station that is to have no real ones (sim, core_benches)
core_benches        a ventilator, and a worker's core, one turn at a time (unit/ventilator, unit/worker)
recording_client    a client's session without threads, on a wire that records (unit/client)
sink_models         models of those around a sink, and messages for it (unit/sink, tests of its store)
sink_machine        a state machine that tries the sink in every order against these models (unit/sink, store_results)
release_stores      makes the stores of a release (data/, read by integration/test_release_before)
store_samples       batches and lines to save (tests of the two stores)
status_records      records of a pipeline's status (unit/client, unit/cli)

object_graphs       random graphs of objects, and what a job sees of them (contract/test_alone, unit/job)
pool_programs       a program: small programs of people who use pools of processes (contract/test_alone)
=================== ==============================================================================================

Functions that workers run are in the package `jobs` beside this one: a module travels with its whole package.
"""
