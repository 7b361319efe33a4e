"""The web server of the pages: Voila with our notebooks, our own assets and nothing else.

One kernel per viewer, ended when the tab is closed, when it has been idle, or when the server
stops. Kernels see the archive through its API, as their viewer, and hold that viewer's key only.
The server makes no request but to that API and, in a hub, to the hub; it serves no file of the
machine but its own scripts and styles, and hands kernels only those environment variables that
they need. It draws nothing itself.

Started by ``goodman-live live``, or as ``python -m goodman_live.dashboard --archive DIR``; as a
service of a hub, ``python -m goodman_live.dashboard --hub``.
"""
