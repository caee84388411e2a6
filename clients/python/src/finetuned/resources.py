"""Method groups of both clients, each declared as a list of flows."""

from __future__ import annotations

from finetuned._async import AsyncRunner
from finetuned._flows import (
    admin,
    aliases,
    erasures,
    evaluations,
    exports,
    files,
    generations,
    imports,
    jobs,
    models,
    receipts,
    recognizers,
    stored_chats,
    sweeps,
    uploads,
    usage,
    watch,
)
from finetuned._flows import advice as advice_flows
from finetuned._methods import (
    AsyncResource,
    Resource,
    async_items,
    async_method,
    items,
    method,
)
from finetuned._sync import Runner


class Files(Resource):
    """Files, previews, data reports, comparisons, cleanings and merges."""

    upload = method(uploads.upload)
    find = method(files.find)
    wait = method(files.wait)
    list = items(files.list_files)
    retrieve = method(files.retrieve)
    content = method(files.content)
    download = method(files.download)
    delete = method(files.delete)
    preview = method(files.preview)
    report = method(files.report)
    report_text = method(files.report_text)
    rows = items(files.rows)
    diff = method(files.diff)
    diff_rows = items(files.diff_rows)
    clean = method(files.clean)
    cleaning = method(files.cleaning_of)
    cleanings = items(files.cleanings)
    merge = method(files.merge)
    merging = method(files.merging)
    merges = items(files.merges)


class AsyncFiles(AsyncResource):
    """Files, previews, data reports, comparisons, cleanings and merges."""

    upload = async_method(uploads.upload)
    find = async_method(files.find)
    wait = async_method(files.wait)
    list = async_items(files.list_files)
    retrieve = async_method(files.retrieve)
    content = async_method(files.content)
    download = async_method(files.download)
    delete = async_method(files.delete)
    preview = async_method(files.preview)
    report = async_method(files.report)
    report_text = async_method(files.report_text)
    rows = async_items(files.rows)
    diff = async_method(files.diff)
    diff_rows = async_items(files.diff_rows)
    clean = async_method(files.clean)
    cleaning = async_method(files.cleaning_of)
    cleanings = async_items(files.cleanings)
    merge = async_method(files.merge)
    merging = async_method(files.merging)
    merges = async_items(files.merges)


class Uploads(Resource):
    """Low-level multipart upload steps; `files.upload` does all of them."""

    create = method(uploads.create)
    retrieve = method(uploads.retrieve)
    parts = method(uploads.parts)
    add_part = method(uploads.add_part)
    complete = method(uploads.complete)
    cancel = method(uploads.cancel)


class AsyncUploads(AsyncResource):
    """Low-level multipart upload steps; `files.upload` does all of them."""

    create = async_method(uploads.create)
    retrieve = async_method(uploads.retrieve)
    parts = async_method(uploads.parts)
    add_part = async_method(uploads.add_part)
    complete = async_method(uploads.complete)
    cancel = async_method(uploads.cancel)


class Jobs(Resource):
    """Fine-tuning jobs."""

    create = method(jobs.create)
    estimate = method(jobs.estimate)
    advise = method(advice_flows.advise)
    advice = method(advice_flows.advice)
    delete_advice = method(advice_flows.delete_advice)
    list = items(jobs.list_jobs)
    retrieve = method(jobs.retrieve)
    cancel = method(jobs.cancel)
    pause = method(jobs.pause)
    resume = method(jobs.resume)
    events = items(jobs.events)
    checkpoints = items(jobs.checkpoints)
    watch = items(watch.watch)
    wait = method(jobs.wait)
    evaluation = method(evaluations.evaluation)
    evaluate_again = method(evaluations.evaluate_again)
    evaluation_report = method(evaluations.evaluation_report)
    wait_for_evaluation = method(evaluations.wait_for_evaluation)


class AsyncJobs(AsyncResource):
    """Fine-tuning jobs."""

    create = async_method(jobs.create)
    estimate = async_method(jobs.estimate)
    advise = async_method(advice_flows.advise)
    advice = async_method(advice_flows.advice)
    delete_advice = async_method(advice_flows.delete_advice)
    list = async_items(jobs.list_jobs)
    retrieve = async_method(jobs.retrieve)
    cancel = async_method(jobs.cancel)
    pause = async_method(jobs.pause)
    resume = async_method(jobs.resume)
    events = async_items(jobs.events)
    checkpoints = async_items(jobs.checkpoints)
    watch = async_items(watch.watch)
    wait = async_method(jobs.wait)
    evaluation = async_method(evaluations.evaluation)
    evaluate_again = async_method(evaluations.evaluate_again)
    evaluation_report = async_method(evaluations.evaluation_report)
    wait_for_evaluation = async_method(evaluations.wait_for_evaluation)


class Sweeps(Resource):
    """Sweeps: jobs that differ in some hyperparameters."""

    create = method(sweeps.create)
    list = items(sweeps.list_sweeps)
    retrieve = method(sweeps.retrieve)
    wait = method(sweeps.wait)
    cancel = method(sweeps.cancel)


class AsyncSweeps(AsyncResource):
    """Sweeps: jobs that differ in some hyperparameters."""

    create = async_method(sweeps.create)
    list = async_items(sweeps.list_sweeps)
    retrieve = async_method(sweeps.retrieve)
    wait = async_method(sweeps.wait)
    cancel = async_method(sweeps.cancel)


class Models(Resource):
    """Models available for inference."""

    list = items(models.list_models)
    retrieve = method(models.retrieve)
    delete = method(models.delete)
    import_model = method(imports.import_model)
    model_import = method(imports.model_import)
    model_imports = items(imports.model_imports)


class AsyncModels(AsyncResource):
    """Models available for inference."""

    list = async_items(models.list_models)
    retrieve = async_method(models.retrieve)
    delete = async_method(models.delete)
    import_model = async_method(imports.import_model)
    model_import = async_method(imports.model_import)
    model_imports = async_items(imports.model_imports)


class Aliases(Resource):
    """Project-defined names for models."""

    list = items(aliases.list_aliases)
    retrieve = method(aliases.retrieve)
    set = method(aliases.set_alias)
    rollback = method(aliases.rollback)
    history = method(aliases.history)
    delete = method(aliases.delete)


class AsyncAliases(AsyncResource):
    """Project-defined names for models."""

    list = async_items(aliases.list_aliases)
    retrieve = async_method(aliases.retrieve)
    set = async_method(aliases.set_alias)
    rollback = async_method(aliases.rollback)
    history = async_method(aliases.history)
    delete = async_method(aliases.delete)


class Erasures(Resource):
    """Rows found by their text in all files of the project, and removed."""

    create = method(erasures.create)
    retrieve = method(erasures.retrieve)
    wait = method(erasures.wait)


class AsyncErasures(AsyncResource):
    """Rows found by their text in all files of the project, and removed."""

    create = async_method(erasures.create)
    retrieve = async_method(erasures.retrieve)
    wait = async_method(erasures.wait)


class ErasureReceipts(Resource):
    """Receipts of deleted files and models."""

    list = items(receipts.list_receipts)
    retrieve = method(receipts.retrieve)


class AsyncErasureReceipts(AsyncResource):
    """Receipts of deleted files and models."""

    list = async_items(receipts.list_receipts)
    retrieve = async_method(receipts.retrieve)


class Recognizers(Resource):
    """Kinds of personal data that the project defines."""

    list = items(recognizers.list_recognizers)
    retrieve = method(recognizers.retrieve)
    set = method(recognizers.set_recognizer)
    delete = method(recognizers.delete)


class AsyncRecognizers(AsyncResource):
    """Kinds of personal data that the project defines."""

    list = async_items(recognizers.list_recognizers)
    retrieve = async_method(recognizers.retrieve)
    set = async_method(recognizers.set_recognizer)
    delete = async_method(recognizers.delete)


class Exports(Resource):
    """Exports of trained models for other software."""

    create = method(exports.create)
    list = items(exports.list_exports)
    retrieve = method(exports.retrieve)
    wait = method(exports.wait)
    download = method(exports.download)
    cancel = method(exports.cancel)
    delete = method(exports.delete)


class AsyncExports(AsyncResource):
    """Exports of trained models for other software."""

    create = async_method(exports.create)
    list = async_items(exports.list_exports)
    retrieve = async_method(exports.retrieve)
    wait = async_method(exports.wait)
    download = async_method(exports.download)
    cancel = async_method(exports.cancel)
    delete = async_method(exports.delete)


class Generations(Resource):
    """Generations of training rows from documents."""

    create = method(generations.create)
    list = items(generations.list_generations)
    retrieve = method(generations.retrieve)
    wait = method(generations.wait)
    cancel = method(generations.cancel)
    delete = method(generations.delete)


class AsyncGenerations(AsyncResource):
    """Generations of training rows from documents."""

    create = async_method(generations.create)
    list = async_items(generations.list_generations)
    retrieve = async_method(generations.retrieve)
    wait = async_method(generations.wait)
    cancel = async_method(generations.cancel)
    delete = async_method(generations.delete)


class Usage(Resource):
    """Inference usage, and the API key of the client."""

    completions = items(usage.completions)
    whoami = method(usage.whoami)


class AsyncUsage(AsyncResource):
    """Inference usage, and the API key of the client."""

    completions = async_items(usage.completions)
    whoami = async_method(usage.whoami)


class StoredChats(Resource):
    """Stored chats, as far as OpenAI's client does not have them."""

    make_file = method(stored_chats.make_file)
    delete_all = method(stored_chats.delete_all)


class AsyncStoredChats(AsyncResource):
    """Stored chats, as far as OpenAI's client does not have them."""

    make_file = async_method(stored_chats.make_file)
    delete_all = async_method(stored_chats.delete_all)


class Projects(Resource):
    """All projects of the installation."""

    list = items(admin.list_projects)
    create = method(admin.create_project)
    retrieve = method(admin.retrieve_project)
    limit = method(admin.limit_project)
    capture = method(admin.capture_chats)
    delegate_capture = method(admin.delegate_capture)
    archive = method(admin.archive_project)
    delete = method(admin.delete_project)


class AsyncProjects(AsyncResource):
    """All projects of the installation."""

    list = async_items(admin.list_projects)
    create = async_method(admin.create_project)
    retrieve = async_method(admin.retrieve_project)
    limit = async_method(admin.limit_project)
    capture = async_method(admin.capture_chats)
    delegate_capture = async_method(admin.delegate_capture)
    archive = async_method(admin.archive_project)
    delete = async_method(admin.delete_project)


class Keys(Resource):
    """API keys of a project."""

    list = items(admin.list_keys)
    create = method(admin.create_key)
    retrieve = method(admin.retrieve_key)
    update = method(admin.update_key)
    rotate = method(admin.rotate_key)
    limit = method(admin.limit_key)
    revoke = method(admin.revoke_key)


class AsyncKeys(AsyncResource):
    """API keys of a project."""

    list = async_items(admin.list_keys)
    create = async_method(admin.create_key)
    retrieve = async_method(admin.retrieve_key)
    update = async_method(admin.update_key)
    rotate = async_method(admin.rotate_key)
    limit = async_method(admin.limit_key)
    revoke = async_method(admin.revoke_key)


class AuditLogs(Resource):
    """Entries of the audit log."""

    list = items(admin.list_audit_logs)


class AsyncAuditLogs(AsyncResource):
    """Entries of the audit log."""

    list = async_items(admin.list_audit_logs)


class Admin:
    """Projects, API keys and the audit log, for keys with the role `admin` or `project_admin`."""

    def __init__(self, runner: Runner) -> None:
        self.projects = Projects(runner)
        self.keys = Keys(runner)
        self.audit_logs = AuditLogs(runner)


class AsyncAdmin:
    """Projects, API keys and the audit log, for keys with the role `admin` or `project_admin`."""

    def __init__(self, runner: AsyncRunner) -> None:
        self.projects = AsyncProjects(runner)
        self.keys = AsyncKeys(runner)
        self.audit_logs = AsyncAuditLogs(runner)
