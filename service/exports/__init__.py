"""Exports of trained models: the API, the records, and the worker's task.

`service.exporting` computes the artifact in a child process, without HTTP, Redis or storage. This
package decides around it: who may export what (`routes`), which answers of the engine an artifact
must reproduce (`references`), what a worker does and what fails an export (`task`), how the archive
is packed (`archive`), and how long it is kept (`records`).
"""
