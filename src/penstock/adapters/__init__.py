"""Interfaces that people know from elsewhere, over a Pipeline: multiprocessing's Pool, two queues, what joblib
needs."""
