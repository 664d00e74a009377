"""Spark prepares the dataset, Lightning trains the model, MLflow tracks both."""

from millstream import former_names

former_names.register()
