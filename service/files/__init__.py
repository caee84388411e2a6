"""Upload, storage and download of files. `service.datasets` interprets their content."""
