"""The HTTP server that counts photos. It follows the contract of SageMaker containers and needs the extra `serve`."""
