"""The web app of `reconcile recount`, with which people recount bins on a phone. It needs the extra `serve`."""
