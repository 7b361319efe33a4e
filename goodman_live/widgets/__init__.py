"""What people see: small views over products and the archive; they draw, ask, and reduce nothing.

``platform.setup()`` must run before Panel is imported, so nothing is imported here.
"""
