"""Keys: the files that their holders need, and what each role may do."""
