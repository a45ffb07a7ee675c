"""One file a dataset: bytes on disk (or a seed) to class pools or task families."""
