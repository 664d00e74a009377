"""Spark makes the dataset, Lightning makes the model from it, MLflow remembers both."""

from millstream import former_names

former_names.register()
