"""The decisions: no sockets, no clock, no files. Time comes in as an argument, randomness in the constructor."""
