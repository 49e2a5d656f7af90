"""The scenarios; each file registers its own with trial.scenario."""
