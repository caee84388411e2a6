"""Commands for moving to finetuned from OpenAI.

`openai` records an account, trains its models again and compares their answers. `cli` has the
commands, which `finetuned` finds as an entry point. May use the client `finetuned`; nothing imports
this package.
"""
