"""``penstock run`` and ``penstock submit``: commands or calls over many inputs, and what the two share."""
