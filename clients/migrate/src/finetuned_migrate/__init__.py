"""Commands for moving to finetuned from OpenAI and from other trainers.

`openai` records an account, trains its models again and compares their answers. `configs` reads
other trainers' configurations as job requests. `cli` has the commands of both, which `finetuned`
finds as entry points. May use the client `finetuned`; nothing imports this package.
"""
