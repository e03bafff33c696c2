"""``penstock web``: pages, metrics and health of a running pipeline over HTTP, from a process of its own.

It asks the stations as any client does, so that they need no HTTP and lose nothing if it dies. Only this wing imports
starlette, uvicorn, jinja2 and prometheus_client, the extra ``penstock[web]``.
"""
