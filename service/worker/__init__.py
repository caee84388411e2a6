"""The worker process: arq on each queue, the reconciler that recovers lost work, and health probes.

It may import all domains, and nothing imports it but the command line.
"""
