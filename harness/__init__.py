"""Running, storing and comparing: models answer the tasks of the registry in run folders."""
