"""Issue codes for archives with an adapter that was trained elsewhere."""

from __future__ import annotations

from service.datasets.checks.check import Check

ADAPTER: dict[str, Check] = {
    "not_an_archive": Check(
        "error",
        "The file is neither a tar nor a zip archive.",
        "Pack the adapter's folder as .tar, .tar.gz, .tar.zst or .zip.",
    ),
    "archive_entries": Check(
        "error",
        "The archive has more than {limit} entries.",
        "Pack only the adapter's folder, without checkpoints, data and caches.",
    ),
    "archive_too_large": Check(
        "error",
        "The archive unpacks to more than {limit} bytes.",
        "Pack only the adapter's folder, without checkpoints and merged weights.",
    ),
    "archive_path": Check(
        "error",
        "The archive has an entry whose path is absolute, leaves the folder, or is too long or too "
        "deep: {name}.",
        "Pack the folder from its parent: tar -cf adapter.tar FOLDER.",
    ),
    "archive_link": Check(
        "error",
        "The archive has a link: {name}.",
        "Pack the files themselves: tar --dereference -cf adapter.tar FOLDER, or zip -r.",
    ),
    "archive_special": Check(
        "error",
        "The archive has an entry that is neither a plain file nor a folder: {name}.",
        "Pack only the adapter's folder.",
    ),
    "archive_twice": Check(
        "error",
        "The archive has two entries with the path {name}.",
        "Pack the folder again into a new archive.",
    ),
    "archive_compression": Check(
        "error",
        "The archive has an entry that is encrypted or compressed with an unsupported method: "
        "{name}.",
        "Pack it without a password, with the methods 'store' or 'deflate'.",
    ),
    "adapter_pickle": Check(
        "error",
        "The archive has a pickle, which can run code when it is loaded: {name}.",
        "Save the adapter as safetensors (model.save_pretrained in PEFT does so), and leave out "
        "optimizer, scheduler and random states.",
    ),
    "no_adapter": Check(
        "error",
        "The archive has no folder with adapter_config.json.",
        "Pack the folder that PEFT's save_pretrained wrote. Only adapters can be imported: the "
        "operator adds whole models to the catalog.",
    ),
    "several_adapters": Check(
        "error",
        "The archive has {count} folders with an adapter_config.json.",
        "Pack only one of them, and import each adapter by itself.",
    ),
    "no_adapter_weights": Check(
        "error",
        "There is no adapter_model.safetensors next to adapter_config.json.",
        "Save the adapter with PEFT's save_pretrained, as one safetensors file.",
    ),
    "adapter_file_too_large": Check(
        "error",
        "{name} has more than {limit} bytes.",
        "Save the adapter again with PEFT's save_pretrained.",
    ),
    "adapter_config_invalid": Check(
        "error",
        "adapter_config.json is not a JSON object.",
        "Save the adapter again with PEFT's save_pretrained.",
    ),
    "adapter_weights_invalid": Check(
        "error",
        "adapter_model.safetensors is not a valid safetensors file: {reason}.",
        "Save the adapter again with PEFT's save_pretrained.",
    ),
    "adapter_weights_cut_off": Check(
        "error",
        "adapter_model.safetensors has {size} bytes, but its header describes {whole}.",
        "Compare its size with the original, and pack it again.",
    ),
    "adapter_weights_type": Check(
        "error",
        "adapter_model.safetensors has tensors of the type {dtype}.",
        "Save the adapter in F32, F16 or BF16.",
    ),
    "base_name_differs": Check(
        "warning",
        "According to its configuration, the adapter was trained on {given}, but it is imported "
        "for {base}.",
        "If these are different models, delete the import and import it for the right one: an "
        "adapter for another model of the same size loads, but answers badly.",
    ),
    "tokenizer_differs": Check(
        "warning",
        "The adapter's tokenizer differs from the base model's in: {parts}.",
        "The base model's tokenizer is used. If the training added or changed tokens, their "
        "meaning is lost: compare answers before you use the model.",
    ),
    "template_differs": Check(
        "warning",
        "The adapter's chat template differs from the base model's.",
        "The base model's template is used. Compare answers with those of the software that "
        "trained the adapter; if they differ, train with the base model's template.",
    ),
    "tokenizer_not_compared": Check(
        "info",
        "The archive has no tokenizer.json, so the tokenizer was not compared.",
        "Add the tokenizer that was used in training to the archive to have it compared.",
    ),
    "template_not_compared": Check(
        "info",
        "The archive has no chat template, so the template was not compared.",
        "Add the chat template that was used in training to the archive to have it compared.",
    ),
}
