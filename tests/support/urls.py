"""Texts that are like URLs of a pipeline."""

from __future__ import annotations

from hypothesis import strategies as st

NEAR = st.text(st.sampled_from(list("abz-_.:19[]%*@/; \n\x1b\u202e\udcff\u00fc")), max_size=12)


def texts() -> st.SearchStrategy[str]:
    """Some are URLs, many are nearly so, and any text may come."""
    host = NEAR | st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True) | st.ip_addresses().map("[{}]".format)
    port = st.integers(-1, 70_000) | NEAR
    sink = st.just("") | host.map("/{}".format)
    near = st.tuples(host, port, sink).map(lambda parts: "tcp://{}:{}{}".format(*parts))
    return st.text() | near | NEAR.map("ipc:///{}".format)
