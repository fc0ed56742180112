"""The backends: `loading.load_model` makes a model of any of them, a `base.Model`."""
