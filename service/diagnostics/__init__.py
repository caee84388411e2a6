"""What an administrator watches: workers, queues, engines, and checks of the installation.

`checks` is shared with `finetuned-server doctor`. `engine_metrics` reads what vLLM and this service
export. Nothing here changes anything.
"""
