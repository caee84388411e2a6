"""Code that runs in vLLM's processes, and the code that starts them."""
