"""The HTTP server that counts photos, as SageMaker calls it. Needs the extra `serve`."""
