"""Examples that run: ``python -m penstock.examples.NAME``, on the pipeline of PENSTOCK_URL or one of their own."""
