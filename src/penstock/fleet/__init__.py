"""Workers on many hosts, started and asked through the system's ssh."""
