"""The worker process: takes tasks from the queues, recovers lost work, and serves health probes.

`queue_tasks.py` lists the tasks of each queue, `reconciler.py` continues and cleans up work that no
process does, and `gpu_share.py` decides what a GPU that also serves models has left for trainings.
It may import all domains, and only the command line imports it.
"""
